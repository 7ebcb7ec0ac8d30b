"""``fakedirty runs``: recorded migrations: listed, shown, compared and exported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fakedirty.cli.printing import print_json, print_notice
from fakedirty.errors import RecordError, UsageError
from fakedirty.harmless import harmless
from fakedirty.model.vm_names import visible
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.load import load, rows
from fakedirty.record.output_checks import check_file
from fakedirty.record.restore import clock_of, manifest_of, restore
from fakedirty.show.compare import comparison
from fakedirty.show.recordings import migrations_table
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

NAME = "runs"
HELP = "list, show, compare and export recorded migrations"
EPILOG = """\
examples:
  fakedirty runs list runs                          every migration below runs, the latest last
  fakedirty runs list runs --vm web --json
  fakedirty runs show runs/web/20261124T*           the rounds of one, as they were shown while it ran
  fakedirty runs show 6601103a --in runs            the migration with this id, or one that begins so
  fakedirty runs compare 6601103a 20c33b16 --in runs
  fakedirty runs export runs rounds.csv             all rounds of all migrations; or as .parquet
  fakedirty runs export runs pages.parquet --table pages

exit status: 0 done; 1 no recording there, or one that cannot be read; 2 wrong usage
"""

TABLES = ("rounds", "migrations", "toggles", "pages", "downtime")  # attributes of what `fakedirty.load(path)` returns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all recorded migrations, the latest last")
    listing.add_argument("path", type=Path, metavar="DIR", help="the directory that `--out` named")
    listing.add_argument("--vm", metavar="NAME", help="only those of this VM")
    listing.add_argument("--json", action="store_true", help="print JSON")
    showing = actions.add_parser("show", help="the rounds of one migration")
    showing.add_argument("migration", help="its directory, or (with --in) its id or the beginning of its id")
    showing.add_argument("--json", action="store_true", help="print JSON")
    comparing = actions.add_parser("compare", help="migrations side by side, compared with the first")
    comparing.add_argument("migrations", nargs="+", metavar="migration", help="as for show")
    comparing.add_argument("--json", action="store_true", help="print JSON")
    for action in (showing, comparing):
        action.add_argument("--in", dest="where", type=Path, metavar="DIR", help="the directory that `--out` named")
    exporting = actions.add_parser("export", help="write one table of all migrations into one file")
    exporting.add_argument("path", type=Path, metavar="DIR", help="the directory that `--out` named")
    exporting.add_argument(
        "file", metavar="FILE", help="a .csv or .parquet file, which must not exist; - for CSV on standard output"
    )
    exporting.add_argument("--table", choices=TABLES, default="rounds", help="which table; default: rounds")


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments name."""
    match arguments.action:
        case "list":
            _list(arguments)
        case "show":
            _show(_directory(arguments.migration, arguments.where), arguments.json)
        case "compare":
            _compare([_directory(name, arguments.where) for name in arguments.migrations], arguments.json)
        case "export":
            _export(arguments)
    return 0


def _directory(name: str, where: Path | None) -> Path:
    """The directory of the migration that is meant; UsageError where there is none, or several could be meant."""
    path = Path(name)
    if (path / "manifest.json").exists():
        return path
    if where is None:
        raise UsageError(
            f"{name} is not the directory of a migration; for an id, name the directory to search: --in DIR"
        )
    recording = load(where)
    ids = recording.migrations["migration_id"]
    found = [directory for directory, each in zip(recording.directories, ids, strict=True) if each.startswith(name)]
    if len(found) != 1:
        known = ", ".join(map(str, found[:5])) or f"there are {', '.join(ids[-5:])}"
        raise UsageError(f"{len(found) or 'no'} migrations in {where} have an id that begins with {name}: {known}")
    return found[0]


def _list(arguments: argparse.Namespace) -> None:
    recording = load(arguments.path)
    migrations = recording.migrations
    sums = recording.rounds.groupby("migration_id")[["visited_pages", "fake_pages"]].sum(min_count=1)
    migrations = migrations.join(sums, on="migration_id")
    migrations["directory"] = [str(directory) for directory in recording.directories]
    migrations = migrations.sort_values("started_at", kind="stable")
    if arguments.vm is not None:
        migrations = migrations[migrations["vm"].isin([arguments.vm, visible(arguments.vm)])]
        if migrations.empty:
            known = ", ".join(sorted(set(recording.migrations["vm"])))
            raise RecordError(f"no migration of a VM named {arguments.vm} in {arguments.path}; there are {known}")
    listed = rows(migrations)
    if arguments.json:
        print_json(listed)
    else:
        Terminal().print(migrations_table(listed), highlight=False)


def _show(directory: Path, as_json: bool) -> None:
    """Show it as it was shown when it ran."""
    manifest = manifest_of(directory)
    screen = JsonLines(sys.stdout, manifest["run_id"], lambda: clock_of(manifest)) if as_json else LiveTable(Terminal())
    restore(directory, [screen])


def _compare(directories: Sequence[Path], as_json: bool) -> None:
    if as_json:
        print_json([rows(load(directory).migrations)[0] for directory in directories])
        return
    migrations = [restore(directory) for directory in directories]
    titled = [(f"{migration.vm} {migration.migration_id}", migration) for migration in migrations]
    Terminal().print(comparison(titled), highlight=False)


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """The table for a terminal; a file gets the text unchanged."""
    return frame.map(lambda value: harmless(value) if isinstance(value, str) else value)


def _export(arguments: argparse.Namespace) -> None:
    file = Path(arguments.file)
    if arguments.file != "-":
        if file.suffix not in (".csv", ".parquet"):
            raise UsageError(f"{file}: give a name that ends in .csv or .parquet")
        check_file(file, "the exported file", replaced=False)
    frame: pd.DataFrame = getattr(load(arguments.path), arguments.table)
    if arguments.file == "-":
        _harmless(frame).to_csv(sys.stdout, index=False)
        return
    try:
        with file.open("xb") as stream:
            if file.suffix == ".csv":
                frame.to_csv(stream, index=False)
            else:
                frame.to_parquet(stream, index=False)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from error
    print_notice(f"{len(frame):,} rows of {arguments.table} in {file}")

"""``fakedirty runs``: recorded migrations: listed, shown, compared, exported and joined."""

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
from fakedirty.record.halves.half import read_half, recordings_in
from fakedirty.record.halves.joined_record import joined_record, write_joined
from fakedirty.record.halves.match import match
from fakedirty.record.halves.pairs import Unpaired, find_pairs
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.load import load, rows
from fakedirty.record.output_checks import check_directory, check_file
from fakedirty.record.restore import clock_of, manifest_of, restore
from fakedirty.show.compare import comparison
from fakedirty.show.joined import joined_table
from fakedirty.show.recordings import migrations_table
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

NAME = "runs"
HELP = "list, show, compare, export and join recorded migrations"
EPILOG = """\
examples:
  fakedirty runs list runs                          every migration below runs, the latest last
  fakedirty runs list runs --vm web --json
  fakedirty runs show runs/web/20261124T*           the rounds of one, as they were shown while it ran
  fakedirty runs show 6601103a --in runs            the migration with this id, or one that begins so
  fakedirty runs compare 6601103a 20c33b16 --in runs
  fakedirty runs export runs rounds.csv             all rounds of all migrations; or as .parquet
  fakedirty runs export runs pages.parquet --table pages
  fakedirty runs join alpha/web/20261124T*-6601103a beta/web/20261124T*-20c33b16
                                                    source and destination of one migration, as one record
  fakedirty runs join alpha beta --out joined       all pairs among the recordings of two hosts

exit status: 0 done; 1 no recording there, one that cannot be read, or nothing that can be joined; 2 wrong usage
"""

TABLES = ("rounds", "migrations", "toggles", "pages", "downtime")  # attributes of what `fakedirty.load(path)` returns
MOST_REASONS = 20  # lines of an error


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
    joining = actions.add_parser("join", help="join what source and destination recorded of one migration")
    joining.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="the directories of two migrations, or directories in which pairs are searched",
    )
    joining.add_argument("--out", type=Path, metavar="DIR", help="write each joined record below this directory")
    joining.add_argument("--json", action="store_true", help="print JSON")


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
        case "join":
            _join(arguments.paths, arguments.out, arguments.json)
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


def _join(paths: Sequence[Path], out: Path | None, as_json: bool) -> None:
    """Join the two halves that are named, or all pairs that are found."""
    if out is not None:
        check_directory(out, "--out")
    halves = [read_half(directory) for directory in recordings_in(paths)]
    if len(paths) == len(halves) == 2 and [half.directory for half in halves] == list(paths):
        found = [match(*halves)]
        unpaired: list[Unpaired] = []
    else:
        found, unpaired = find_pairs(halves)
        if not found:
            reasons = [f"{each.half.directory}: {each.reason}" for each in unpaired[:MOST_REASONS]]
            raise RecordError("no two recordings are of one migration", *reasons)
    try:
        written = [] if out is None else [write_joined(out, each) for each in found]
    except OSError as error:
        raise RecordError(f"cannot write a joined record below {out}: {error.strerror or error}") from error
    records = [joined_record(each) for each in found]
    alone = [{"directory": str(each.half.directory), "reason": each.reason} for each in unpaired]
    if as_json:
        print_json({"joined": records, "unpaired": alone})
    else:
        Terminal().print(joined_table(records), highlight=False)
        for each in alone:
            Terminal().print(
                harmless(f"not joined: {each['directory']}: {each['reason']}"), markup=False, highlight=False
            )
    for directory in written:
        print_notice(f"joined: {directory}")

"""``fakedirty runs``: looking back at what was recorded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from fakedirty.errors import RecordError, UsageError
from fakedirty.format.numbers import UNSEEN, milliseconds, size
from fakedirty.harmless import harmless
from fakedirty.model.vm_names import visible
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.load import load, rows
from fakedirty.record.output_checks import check_file
from fakedirty.record.restore import clock_of, manifest_of, restore
from fakedirty.show.compare import comparison
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

from .printing import print_json, print_notice

NAME = "runs"
HELP = "look back at what was recorded: list, show, compare, export"
EPILOG = """\
examples:
  fakedirty runs list runs                          every migration below runs, the latest last
  fakedirty runs list runs --vm web --json
  fakedirty runs show runs/web/20261124T*           its rounds, as they were shown while it ran
  fakedirty runs show 6601103a --in runs            by its migration id, or the beginning of it
  fakedirty runs compare 6601103a 20c33b16 --in runs
  fakedirty runs export runs rounds.csv             all rounds of all migrations; .parquet works as well
  fakedirty runs export runs pages.parquet --table pages

exit status: 0 done; 1 nothing was recorded there, or it cannot be read; 2 wrong usage
"""

TABLES = ("rounds", "migrations", "toggles", "pages")  # by the names that `fakedirty.load(path)` gives them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every migration that was recorded, the latest last")
    listing.add_argument("path", type=Path, metavar="DIR", help="what `--out` wrote")
    listing.add_argument("--vm", metavar="NAME", help="of this VM alone")
    listing.add_argument("--json", action="store_true", help="say it in JSON")
    showing = actions.add_parser("show", help="the rounds of one migration")
    showing.add_argument("migration", help="its directory, or (with --in) its id or the beginning of it")
    showing.add_argument("--json", action="store_true", help="say it in JSON")
    comparing = actions.add_parser("compare", help="migrations side by side, the first as the measure")
    comparing.add_argument("migrations", nargs="+", metavar="migration", help="as for show")
    comparing.add_argument("--json", action="store_true", help="say it in JSON")
    for action in (showing, comparing):
        action.add_argument("--in", dest="where", type=Path, metavar="DIR", help="what `--out` wrote")
    exporting = actions.add_parser("export", help="one table of all migrations, as one file")
    exporting.add_argument("path", type=Path, metavar="DIR", help="what `--out` wrote")
    exporting.add_argument("file", metavar="FILE", help="a .csv or .parquet file, which must not exist; - for CSV here")
    exporting.add_argument("--table", choices=TABLES, default="rounds", help="which table; default: rounds")


def run(arguments: argparse.Namespace) -> int:
    """Do the one that was asked for."""
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
    """The recording that is meant; UsageError where it is none or several."""
    path = Path(name)
    if (path / "manifest.json").exists():
        return path
    if where is None:
        raise UsageError(f"{name} is not the directory of a migration; for an id, say where to look: --in DIR")
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
        Terminal().print(_listing(listed), highlight=False)


def _listing(listed: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("migration", "vm", "started", "outcome", "total", "downtime", "sent", "rounds", "fake", "valid"):
        table.add_column(head, justify="right" if head in ("total", "downtime", "sent", "rounds", "fake") else "left")
    for row in listed:
        arrived = row["side"] == "destination"
        fake, visited = row["fake_pages"], row["visited_pages"]
        share = None if fake is None or not visited else fake / visited
        table.add_row(
            row["migration_id"],
            row["vm"],
            row["started_at"][:19].replace("T", " "),
            "arrived" if arrived else row["outcome"],
            milliseconds(row["total_time_ms"]),
            milliseconds(row["downtime_ms"]),
            size(row["transferred_bytes"]),
            str(row["rounds"] or 0),
            UNSEEN if share is None else f"{share:.0%}",
            {True: Text("yes", "green"), False: Text("NO", "bold red"), None: Text(row["totals"] or UNSEEN)}[
                row["valid"]
            ],
        )
    return table


def _show(directory: Path, as_json: bool) -> None:
    """As it was shown when it ran."""
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
    """For whoever looks at it: a file has the text as it is."""
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

"""``fakedirty campaign``: an experiment from its file to its tables, run after run."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from fakedirty.campaign.duration_estimate import expected_seconds
from fakedirty.campaign.frames import load
from fakedirty.campaign.run import RunContext
from fakedirty.campaign.run_row import COMPLETED, FAILED, TIME_LIMIT
from fakedirty.campaign.runner import PreparedCampaign, begin, carry_out, prepare, reopen
from fakedirty.campaign.spec import CampaignFile, parse, read
from fakedirty.campaign.store import Store
from fakedirty.cli.campaign_progress import Progress, duration, left_out_lines, run_line
from fakedirty.cli.printing import print_json
from fakedirty.cli.termination import tidy_when_terminated
from fakedirty.errors import LabError, RecordError
from fakedirty.lab.qemu import qemu_binary
from fakedirty.record.output_checks import check_directory
from fakedirty.show.terminal import Terminal

from .campaign_export import export

NAME = "campaign"
HELP = "run an experiment that a file describes, and keep every run of it"
EPILOG = """\
examples:
  fakedirty campaign run campaigns/quick.toml --dry-run             list its runs, and estimate how long they take
  fakedirty campaign run campaigns/quick.toml --out quick           run it
  fakedirty campaign resume quick                                   go on after an interrupt, in the same order
  fakedirty campaign status quick                                   show its progress, also while it runs
  fakedirty campaign report quick                                   write its report into quick/report
  fakedirty campaign export quick                                   write its tables, CSV and Parquet, into quick/export

docs/campaigns.md describes the file and the measurements, docs/campaign-report.md the comparison.

exit status: 0 done; 1 a memory differed, or the disk is full; 2 wrong usage, or a file that is wrong or was changed;
3 done, and some runs failed (they are kept, with their reasons); 130 interrupted: the run in progress is dropped
"""

SOME_FAILED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    running = actions.add_parser("run", help="begin a campaign")
    running.add_argument("file", type=Path, metavar="FILE", help="the campaign, in TOML: see docs/campaigns.md")
    where = running.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="the directory that it is kept in")
    where.add_argument("--dry-run", action="store_true", help="only list the runs, and how long they will take")
    running.add_argument("--qemu", type=Path, help="a QEMU; default: the built one with the patch series")
    for name, text in (
        ("resume", "go on with a campaign that was interrupted"),
        ("status", "show the progress of a campaign"),
        ("report", "write its charts, comparisons and tables as one HTML file, and in Markdown"),
        ("export", "write its tables as CSV and Parquet, the runs also in long form"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("directory", type=Path, metavar="DIR", help="the directory of the campaign")
        if name == "export":
            action.add_argument(
                "--to", type=Path, metavar="DIR", help="the target; default: `export` in that directory"
            )
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="print JSON; the progress goes to standard error")


def run(arguments: argparse.Namespace) -> int:
    """Do the action of the command line; the exit status."""
    console = Terminal(stderr=arguments.json, soft_wrap=True)
    return ACTIONS[arguments.action](arguments, console)


def _run(arguments: argparse.Namespace, console: Terminal) -> int:
    if arguments.out is not None:
        check_directory(arguments.out, "--out")
    file = read(arguments.file)
    prepared = prepare(file, arguments.qemu or qemu_binary())
    if arguments.dry_run:
        _list(prepared, console, as_json=arguments.json)
        return 0
    return _carry_out(begin(prepared, arguments.file, arguments.out), prepared.context, console, arguments.json)


def _resume(arguments: argparse.Namespace, console: Terminal) -> int:
    store, context = reopen(arguments.directory)
    check_directory(arguments.directory, "the campaign")
    return _carry_out(store, context, console, arguments.json)


def _list(prepared: PreparedCampaign, console: Terminal, *, as_json: bool) -> None:
    expected = expected_seconds(prepared.runs, prepared.context.file, {})
    if as_json:
        runs = [{**asdict(planned), "expected_seconds": expected[planned.run]} for planned in prepared.runs]
        print_json({"runs": runs, "left_out": [asdict(each) for each in prepared.left_out]})
        return
    for planned in prepared.runs:
        console.print(f"{run_line(asdict(planned))}  about {duration(expected[planned.run])}")
    console.print(f"{len(prepared.runs)} runs, about {duration(sum(expected.values()))}")
    for line in left_out_lines(prepared.left_out):
        console.print(line, style="yellow")


def _carry_out(store: Store, context: RunContext, console: Terminal, as_json: bool) -> int:
    """Make the missing runs. With `as_json`, each row is printed as a line of JSON as soon as its run is whole."""
    for line in left_out_lines(store.left_out):
        console.print(line, style="yellow")
    try:
        with tidy_when_terminated(), Progress(store, context.file, console) as progress:
            for row in carry_out(store, context, progress.starting):
                progress.done(row)
                if as_json:
                    print_json(row, indent=None)
    except KeyboardInterrupt:
        console.print(
            f"interrupted: the run in progress is dropped. 'fakedirty campaign resume {store.directory}' goes on"
        )
        raise
    rows = store.rows
    counts = Counter(str(row["outcome"]) for row in rows)
    outcomes = ", ".join(f"{counts[outcome]} {outcome}" for outcome in (COMPLETED, TIME_LIMIT, FAILED))
    console.print(f"{len(rows)} runs in {store.directory}: {outcomes}")
    if wrong := [str(row["run"]) for row in rows if row["memory_equal"] is False]:
        raise LabError(f"the memory differs in {len(wrong)} of {len(rows)} runs: {', '.join(wrong)}")
    return SOME_FAILED if counts[FAILED] else 0


def _status(arguments: argparse.Namespace, console: Terminal) -> int:
    store = Store.open(arguments.directory)
    file: CampaignFile = parse(store.text)
    rows = store.rows
    counts = Counter(str(row["outcome"]) for row in rows)
    expected = expected_seconds(store.runs, file, {str(row["run"]): float(str(row["wall_seconds"])) for row in rows})
    status = {
        "name": file.spec.name,
        "running": store.is_running(),
        "runs": len(store.runs),
        "done": len(rows),
        **{outcome: counts[outcome] for outcome in (COMPLETED, TIME_LIMIT, FAILED)},
        "expected_seconds_left": round(sum(expected.values()), 1),
        "left_out": [asdict(each) for each in store.left_out],
    }
    if arguments.json:
        print_json(status)
        return 0
    console.print(
        f"{file.spec.name}: {len(rows)} of {len(store.runs)} runs are made ({counts[COMPLETED]} completed, "
        f"{counts[TIME_LIMIT]} at the time limit, {counts[FAILED]} failed); "
        f"about {duration(sum(expected.values()))} left; {'running' if status['running'] else 'not running'}"
    )
    for row in rows:
        console.print(run_line(row), style="red" if row["outcome"] == FAILED else "")
    for line in left_out_lines(store.left_out):
        console.print(line, style="yellow")
    return 0


def _report(arguments: argparse.Namespace, console: Terminal) -> int:
    check_directory(arguments.directory / "report", "the report")
    # matplotlib and scipy take a second to load
    from fakedirty.campaign.report.write import write

    try:
        written = write(load(arguments.directory), arguments.directory)
    except OSError as error:
        raise RecordError(f"cannot write the report: {error.strerror or error}") from error
    if arguments.json:
        print_json({"report": str(written)}, indent=None)
    console.print(f"the report is {written}")
    return 0


def _export(arguments: argparse.Namespace, console: Terminal) -> int:
    to = arguments.to or arguments.directory / "export"
    check_directory(to, "--to")
    written = export(arguments.directory, to)
    if arguments.json:
        print_json({str(path): rows for path, rows in written.items()})
    for path, rows in written.items():
        console.print(f"{rows:,} rows in {path}")
    return 0


ACTIONS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "run": _run,
    "resume": _resume,
    "status": _status,
    "report": _report,
    "export": _export,
}

"""``fakedirty fuzz``: random migrations, and after each of them every page and every count checked."""

from __future__ import annotations

import argparse
import random
import sys
from contextlib import closing
from pathlib import Path

from fakedirty.cli.printing import print_json
from fakedirty.cli.termination import tidy_when_terminated
from fakedirty.errors import LabError, UsageError
from fakedirty.lab.fuzz.coverage import ENOUGH
from fakedirty.lab.fuzz.fuzz_run import FuzzRun
from fakedirty.lab.fuzz.json_report import json_report
from fakedirty.lab.fuzz.plans.possibilities import MOST_VCPUS
from fakedirty.lab.fuzz.probe import find_possibilities
from fakedirty.lab.fuzz.report import (
    coverage_lines,
    failure_lines,
    histogram_lines,
    possibilities_lines,
    result_line,
    summary_lines,
    switchover_histograms,
)
from fakedirty.lab.qemu import qemu_binary
from fakedirty.show.terminal import Terminal

NAME = "fuzz"
HELP = "migrate at random with modes toggled, and compare every page after each"
EPILOG = """\
examples:
  fakedirty fuzz --runs 300 --seed 7         migrations 0 to 299 of seed 7
  fakedirty fuzz --seed 7 --only 41          migration 41 of them, alone
  fakedirty fuzz --runs 400 --complete 300   until 300 counted and every feature met every kind of toggle, at most 400

exit status: 0 nothing was wrong, and the run is complete if --complete is given; 1 a page, a count or a migration was
wrong (its plan and the command that replays it are printed), or the run is not complete
"""

ACCELERATORS = ("tcg", "kvm")
VCPUS = range(1, MOST_VCPUS + 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="number of migrations; default: 20")
    parser.add_argument("--seed", type=int, metavar="S", help="the seed of all plans; default: a random one")
    parser.add_argument("--only", type=int, metavar="K", help="migration K alone, counted from 0")
    parser.add_argument(
        "--complete",
        type=int,
        metavar="N",
        help=f"stop when N migrations counted and every cell of the coverage has {ENOUGH}; fail if --runs are too few",
    )
    parser.add_argument("--accel", choices=ACCELERATORS, help="this accelerator alone; default: all that run here")
    parser.add_argument(
        "--vcpus",
        type=int,
        choices=VCPUS,
        default=MOST_VCPUS,
        help=f"most vCPUs of a guest; default: {MOST_VCPUS}",
    )
    parser.add_argument("--qemu", type=Path, help="a QEMU with the patch series; default: the one that was built")
    parser.add_argument("--json", action="store_true", help="print the outcome in JSON; the lines go to standard error")


def run(arguments: argparse.Namespace) -> int:
    """Run all migrations, whatever fails; LabError at the end if anything was wrong or is missing."""
    if arguments.complete is not None and arguments.only is not None:
        raise UsageError("one migration alone is never complete: give --complete or --only, not both")
    if arguments.runs < 1 or (arguments.only or 0) < 0:
        raise UsageError("there is nothing to run: --runs is 1 or more, --only 0 or more")
    console = Terminal(stderr=arguments.json, soft_wrap=True)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    qemu = arguments.qemu or qemu_binary()
    fuzz_run = FuzzRun(qemu, seed, find_possibilities(qemu, arguments.accel, arguments.vcpus), arguments.complete)
    indexes = range(arguments.runs) if arguments.only is None else (arguments.only,)
    console.print(f"seed {seed}, {len(indexes)} migrations; {qemu}")
    console.print_lines(possibilities_lines(fuzz_run.possibilities))
    with tidy_when_terminated(), closing(fuzz_run.migrate(indexes)) as results:
        for result in results:
            console.print(result_line(result), style="" if not result.errors else "bold red")
            if result.errors:
                console.print_lines(failure_lines(result, _options(arguments)), style="red")
    if arguments.only is None:
        console.print_lines(coverage_lines(fuzz_run.coverage))
        console.print_lines(histogram_lines(switchover_histograms(fuzz_run.results)))
    console.print_lines(summary_lines(fuzz_run))
    if arguments.complete is not None:
        console.print(f"complete: {f'no, {fuzz_run.missing}' if fuzz_run.missing else 'yes'}")
    if arguments.json:
        print_json(json_report(fuzz_run, sys.argv))
    _check(fuzz_run)
    return 0


def _options(arguments: argparse.Namespace) -> str:
    """The options by which a migration that went wrong can be run again."""
    vcpus = None if arguments.vcpus == MOST_VCPUS else arguments.vcpus
    given = [("--accel", arguments.accel), ("--vcpus", vcpus), ("--qemu", arguments.qemu)]
    return "".join(f" {name} {value}" for name, value in given if value is not None)


def _check(fuzz_run: FuzzRun) -> None:
    count, seed = len(fuzz_run.results), fuzz_run.seed
    if wrong := fuzz_run.wrong_indexes:
        raise LabError(f"{len(wrong)} of {count} migrations of seed {seed} went wrong: {', '.join(map(str, wrong))}")
    if fuzz_run.missing:
        raise LabError(f"{count} migrations of seed {seed} are not complete: {fuzz_run.missing}")

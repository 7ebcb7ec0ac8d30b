"""``fakedirty bench``: what is claimed of the series, measured side by side."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fakedirty.errors import LabError, UsageError
from fakedirty.lab.convergence import DOWNTIME_LIMIT_MS, MIXES, Job, Measured, jobs, measure
from fakedirty.lab.guest import build_guest
from fakedirty.lab.network import GIGABIT
from fakedirty.lab.qemu import qemu_binary, qemu_version
from fakedirty.lab.treatments import CONVERGENCE
from fakedirty.record.durable import write_json
from fakedirty.record.manifest import versions

from .bench_report import tables

NAME = "bench"
HELP = "measure convergence: treatments side by side, on mixes of writes"
EPILOG = """\
examples:
  fakedirty bench convergence --out results            all treatments on all mixes, three times (about an hour)
  fakedirty bench convergence --out results            the same again: goes on where it was, or shows the tables
  fakedirty bench convergence --out quick --mix 60k/5k --treatment vanilla --treatment skip --repetitions 1

Each migration is of a guest of 512 MiB that rewrites its pages every 20 ms, over a link of 1 Gbit/s.

exit status: 0 done; 1 a memory differed, or a migration failed
"""
GUEST = "linux"
RUNS, MANIFEST = "runs.jsonl", "manifest.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", choices=("convergence",), help="what to measure")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results are kept")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="of every migration; default: 3")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what the order is drawn from; default: 1")
    parser.add_argument("--time-limit", type=float, default=25.0, metavar="S", help="seconds each; default: 25")
    mixes, treatments = [mix.name for mix in MIXES], [each.name for each in CONVERGENCE]
    parser.add_argument("--mix", action="append", choices=mixes, help="this mix alone; default: all")
    parser.add_argument("--treatment", action="append", choices=treatments, help="this treatment alone; default: all")
    parser.add_argument("--qemu", type=Path, help="a QEMU with the series; the one that was built if not given")
    parser.add_argument("--json", action="store_true", help="the runs as JSON lines; what is told goes to stderr")


def run(arguments: argparse.Namespace) -> int:
    """Measure what is not measured yet, and show it all."""
    if arguments.repetitions < 1 or arguments.time_limit <= 0:
        raise UsageError("there is nothing to measure: --repetitions is 1 or more, and --time-limit above 0")
    console = Console(stderr=arguments.json, highlight=False, soft_wrap=True, markup=False)
    results = _Results(arguments.out, _manifest(arguments))
    mixes = {mix.name: mix for mix in MIXES if mix.name in (arguments.mix or [mix.name])}
    treatments = {each.name: each for each in CONVERGENCE if each.name in (arguments.treatment or [each.name])}
    wanted = list(jobs(arguments.repetitions, arguments.seed, list(mixes.values()), list(treatments.values())))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up then too, as after Ctrl-C
    try:
        left = [job for job in wanted if job not in results.runs]
        console.print(f"{len(wanted)} migrations, {len(left)} to be made, {_bound(left, arguments.time_limit)}")
        for number, job in enumerate(left, 1):
            made = measure(
                job,
                mixes[job.mix],
                treatments[job.treatment],
                arguments.qemu or qemu_binary(),
                build_guest(GUEST),
                time_limit=arguments.time_limit,
            )
            results.add(made)
            console.print(f"{number}/{len(left)} {_line(made)}", style="" if made.memory_equal else "bold red")
    finally:
        signal.signal(signal.SIGTERM, before)
    runs = [results.runs[job] for job in wanted]
    for table in tables(runs, list(mixes.values()), GIGABIT / 8):
        console.print(table)
    if arguments.json:
        print("\n".join(json.dumps(made.row()) for made in runs))
    if wrong := [made.job for made in runs if not made.memory_equal]:
        raise LabError(f"the memory of {len(wrong)} of {len(runs)} migrations was not found equal: {wrong}")
    return 0


def _manifest(arguments: argparse.Namespace) -> dict[str, Any]:
    qemu = arguments.qemu or qemu_binary()
    return {
        "command_line": sys.argv,
        "versions": versions(),
        "settings": {
            "qemu": {"binary": str(qemu), "version": qemu_version(qemu)},
            "guest": build_guest(GUEST).directory.name,
            "seed": arguments.seed,
            "time_limit_seconds": arguments.time_limit,
            "downtime_limit_ms": DOWNTIME_LIMIT_MS,
            "link_bits_per_second": GIGABIT,
        },
    }


@dataclass
class _Results:
    """The runs of a directory, which are all of one manifest."""

    directory: Path
    manifest: dict[str, Any]

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / MANIFEST
        if path.exists():
            kept = json.loads(path.read_text())["settings"]
            if kept != json.loads(json.dumps(self.manifest["settings"])):
                raise UsageError(f"{self.directory} has results of other settings: give another --out")
        else:
            write_json(path, self.manifest)
        self._file = self.directory / RUNS
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        made = [Measured.of_row(json.loads(line)) for line in lines]
        self.runs: dict[Job, Measured] = {each.job: each for each in made}

    def add(self, made: Measured) -> None:
        """Keep one more."""
        with self._file.open("a") as file:
            file.write(json.dumps(made.row()) + "\n")
        self.runs[made.job] = made


def _bound(left: Sequence[Job], time_limit: float) -> str:
    overhead = 12.0  # booting, letting through, comparing
    return f"at most {len(left) * (time_limit + overhead) / 60:.0f} minutes"


def _line(made: Measured) -> str:
    ended = f"{made.total_seconds:.2f} s, downtime {made.downtime_ms} ms" if made.converged else "does not converge"
    equal = "equal" if made.memory_equal else "NOT EQUAL"
    return (
        f"{made.job.mix} {made.job.treatment}: {ended}, {made.rounds} rounds, {made.sent_bytes / 1e6:,.0f} MB; {equal}"
    )

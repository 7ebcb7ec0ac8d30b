"""``fakedirty demo``: a guest with known fake pages, migrated as QEMU does it and with skipping, side by side."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from fakedirty.cli.demo_report import (
    DemoRun,
    compare_with_truth,
    convergence,
    details,
    failure,
    next_steps,
    status,
    summary,
)
from fakedirty.cli.printing import print_json
from fakedirty.cli.termination import tidy_when_terminated
from fakedirty.errors import LabError
from fakedirty.lab.experiment import Experiment, run_experiment
from fakedirty.lab.guest_load import GroundTruthLoad
from fakedirty.lab.guests.recipes import GUESTS, BuiltGuest, build_guest
from fakedirty.lab.guests.workload import REFERENCE
from fakedirty.lab.migrate import Settings
from fakedirty.lab.qemu import qemu_binary, qemu_facts, stock_binary
from fakedirty.lab.treatments import SKIP, UNPATCHED, VANILLA, Treatment
from fakedirty.model.enums import Level
from fakedirty.record.durable import write_json
from fakedirty.record.output_checks import check_directory
from fakedirty.record.recorder import Recorder
from fakedirty.show.compare import comparison
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

NAME = "demo"
HELP = "migrate a guest whose pages are known, without and with skipping"
EPILOG = """\
It needs root, about 2 GiB of free memory (two guests of 512 MiB at a time, their QEMU and the observer) and some MB of
disk for the recordings. Building QEMU, once, takes 6 GB of disk: see docs/qemu.md.

exit status: 0 done; 1 memory differs on the two sides, or skipping did not let the migration end; 3 recorded,
but not valid (see the reason in rounds.csv)
"""

DOWNTIME_LIMIT_MS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--qemu", type=Path, help="a QEMU with the patch series; default: the built one")
    which.add_argument("--stock", action="store_true", help="Debian's own QEMU, without skipping: observe only")
    parser.add_argument("--guest", choices=sorted(GUESTS), default="linux", help="default: linux")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument(
        "--time-limit", type=float, default=25.0, metavar="SECONDS", help="bound of each migration; default: 25"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the outcome as JSON; the tables go to standard error"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run each treatment and show the runs side by side; the exit status.

    Raises:
        LabError: a memory differs, pages are misclassified, or skipping does not let the migration end.
    """
    check_directory(arguments.out, "--out")
    console = Terminal(stderr=arguments.json, soft_wrap=True)
    qemu = stock_binary() if arguments.stock else arguments.qemu or qemu_binary()
    demo = _Demo(qemu, build_guest(arguments.guest), arguments.out, arguments.time_limit, console)
    demo.introduce()
    treatments = (UNPATCHED,) if arguments.stock else (VANILLA, SKIP)
    with tidy_when_terminated():
        runs = [demo.run(number, treatment) for number, treatment in enumerate(treatments, start=1)]
    console.print()
    console.print("side by side", style="bold")
    console.print(comparison([(each.title, each.measured) for each in runs]))
    console.print()
    console.print_lines(next_steps(runs, arguments.out))
    if arguments.json:
        print_json({"qemu": str(qemu), "runs": [summary(each) for each in runs]})
    if wrong := failure(runs):
        raise LabError(wrong)
    return status(runs)


class _Demo:
    """What the runs of a demo have in common."""

    def __init__(self, qemu: Path, guest: BuiltGuest, out: Path, time_limit: float, console: Terminal) -> None:
        self._qemu = qemu
        self._guest = guest
        self._out = out
        self._time_limit = time_limit
        self._console = console
        self._facts_of_qemu = qemu_facts(qemu)
        self._run_id = time.strftime("demo-%Y%m%dT%H%M%SZ", time.gmtime())

    def introduce(self) -> None:
        """Print the guest, its workload and the link."""
        work = REFERENCE
        lines = (
            f"{self._facts_of_qemu['version']} ({self._qemu})",
            f"guest: {self._guest.guest.name}, {work.memory_mib} MiB, TCG; rewrites {work.fake:,} pages with what they "
            f"hold and changes {work.changed:,}, sweep after sweep, {work.pause_ms} ms apart",
            f"link: 1 Gbit/s; downtime limit {DOWNTIME_LIMIT_MS} ms; time limit {self._time_limit:g} s",
        )
        self._console.print_lines(lines)

    def run(self, number: int, treatment: Treatment) -> DemoRun:
        """One treatment, from boot to the comparison of memory."""
        show = self._console.print
        show()
        show(Text.assemble((f"{number}. {treatment.name}", "bold"), f": {treatment.summary}"))
        experiment = Experiment(
            vm=f"demo-{treatment.name}",
            qemu=self._qemu,
            load=GroundTruthLoad(self._guest, REFERENCE),
            level=treatment.level,
            mode=treatment.mode,
            settings=Settings(DOWNTIME_LIMIT_MS),
            steps=treatment.steps,
            time_limit=self._time_limit,
            pages=treatment.level is Level.PATCHED,
            odd_memory=treatment.odd_memory,
        )
        recorder = Recorder(self._out, self._run_id, self._facts(experiment))
        result = run_experiment(experiment, [recorder, LiveTable(self._console)])
        if not recorder.directories:
            raise LabError(f"nothing was recorded in {self._out}: the reason is above")
        directory = recorder.directories[-1]
        truth = compare_with_truth(directory, result.report)
        done = DemoRun(treatment, result, directory, truth, self._guest.guest.exact)
        write_json(done.directory / "experiment.json", details(done))
        show(convergence(done), style="" if result.outcome.converged else "yellow")
        if truth:
            show(f"compared with the page sets that the guest reports: {truth}")
        show(done.memory, style="green" if done.equal else "bold red")
        return done

    def _facts(self, experiment: Experiment) -> Mapping[str, object]:
        """The facts for the manifest of the recording."""
        return {
            "qemu": self._facts_of_qemu,
            "guest": {"name": self._guest.guest.name, "build": self._guest.directory.name},
            "workload": asdict(REFERENCE),
            "migration_settings": asdict(experiment.settings),
            "link_bits_per_second": experiment.bits_per_second,
            "mode": None if experiment.mode is None else str(experiment.mode),
            "accelerator": experiment.accelerator,
            "time_limit_seconds": experiment.time_limit,
        }

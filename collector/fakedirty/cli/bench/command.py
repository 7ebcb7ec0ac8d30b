"""``fakedirty bench``: what is claimed of the series, measured side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from fakedirty.cli.printing import print_json
from fakedirty.cli.termination import tidy_when_terminated
from fakedirty.errors import LabError, UsageError
from fakedirty.lab.bench import compression, convergence
from fakedirty.lab.bench.cost import ARMS
from fakedirty.lab.treatments import COMPRESSION_TREATMENTS, CONVERGENCE
from fakedirty.record.manifest import versions
from fakedirty.record.output_checks import check_directory
from fakedirty.show.terminal import Terminal

from .benchmark import Benchmark
from .costs import COSTS
from .migrations import MIGRATIONS
from .results import Results, row_of

NAME = "bench"
HELP = "measure convergence and cost: treatments side by side, again and again"
EPILOG = """\
benchmarks:
  convergence   treatments on mixes of writes: a guest of 512 MiB that rewrites its pages every 20 ms, over 1 Gbit/s
  compression   the same of guests whose pages compress, over 400 Mbit/s: skip, multifd with zstd and zlib, and both
  hybrid        60,000 fake and 5,000 changed pages over 400 Mbit/s, postcopy after round 2: what is fetched, with skip
                and its sweeps, and without
  cost          QEMU without the series, and with it in each mode: 2 GiB in one pass at full speed, of a stopped guest,
                to a sink on loopback, without multifd and over two channels; and rounds in which all of them are fake
  overhead      a pass at full speed, observed at each level, with page records and without, or not at all
  step          to copy, hash and classify a page, alone, on one thread and on two
  scaling       rounds of nothing but fake pages, without multifd, with one channel and with two
  hash          every hash alone, on the same 1 GiB of pages, and reading them
  verdict       what is predicted after two rounds, as it is and with skip, and what comes of it: mixes of writes at two
                speeds of the link
  scrape        a scrape of the metrics of 1 to 500 VMs, in the exporter and over HTTP: needs neither QEMU nor root

examples:
  fakedirty bench convergence --out results    all treatments on all mixes, three times (about an hour)
  fakedirty bench convergence --out results    the same again: goes on where it was, or shows the tables
  fakedirty bench convergence --out quick --mix 60k/5k --treatment vanilla --treatment skip --repetitions 1
  fakedirty bench convergence --out slow --mbit 400
  fakedirty bench compression --out compression
  fakedirty bench compression --out half --mix "text 32k/32k in 3 s" --treatment skip --treatment skip+multifd+zstd
  fakedirty bench hybrid --out hybrid
  fakedirty bench step --out step
  fakedirty bench scaling --out scaling
  fakedirty bench cost --out cost --repetitions 100
  fakedirty bench cost --out cost-of-off --repetitions 300 --arm unpatched --arm off
  fakedirty bench overhead --out overhead
  fakedirty bench verdict --out verdicts
  fakedirty bench hash --out hashes --json
  fakedirty bench scrape --out scrape

exit status: 0 done; 1 a memory differed, or a migration failed
"""
REPETITIONS = {
    "convergence": 3,
    "compression": 3,
    "hybrid": 5,
    "cost": 60,
    "overhead": 4,
    "hash": 10,
    "step": 10,
    "scaling": 20,
    "scrape": 10,
    "verdict": 2,
}


BENCHMARKS: dict[str, Callable[[argparse.Namespace], Benchmark]] = {**MIGRATIONS, **COSTS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", choices=tuple(BENCHMARKS), help="what to measure")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results are kept")
    parser.add_argument(
        "--repetitions",
        type=int,
        metavar="N",
        help="of every migration; default: " + ", ".join(f"{name} {count}" for name, count in REPETITIONS.items()),
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what the order is drawn from; default: 1")
    parser.add_argument("--qemu", type=Path, help="a QEMU with the series; the one that was built if not given")
    parser.add_argument("--json", action="store_true", help="the runs as JSON lines; what is told goes to stderr")
    group = parser.add_argument_group("convergence, compression, hybrid and verdict")
    group.add_argument("--time-limit", type=float, default=25.0, metavar="S", help="seconds each; default: 25")
    group.add_argument(
        "--mbit",
        type=float,
        metavar="N",
        help="Mbit/s of the link, not for verdict; default: 1000, compression and hybrid 400",
    )
    mixes = [mix.name for mix in (*convergence.MIXES, *compression.MIXES)]
    treatments = list(dict.fromkeys(each.name for each in (*CONVERGENCE, *COMPRESSION_TREATMENTS)))
    group.add_argument("--mix", action="append", choices=mixes, help="this mix alone; default: all")
    group.add_argument("--treatment", action="append", choices=treatments, help="this treatment alone; default: all")
    group = parser.add_argument_group("cost")
    group.add_argument("--unpatched", type=Path, help="a QEMU without the series; the one that was built if not given")
    arms = [arm.name for arm in ARMS]
    named = ", ".join(f"'{arm}'" for arm in arms)
    group.add_argument("--arm", action="append", choices=arms, metavar="ARM", help=f"this arm alone; default: {named}")


def run(arguments: argparse.Namespace) -> int:
    """Measure what is not measured yet, and show it all."""
    if arguments.repetitions is None:
        arguments.repetitions = REPETITIONS[arguments.what]
    if arguments.repetitions < 1 or arguments.time_limit <= 0:
        raise UsageError("there is nothing to measure: --repetitions is 1 or more, and --time-limit above 0")
    if arguments.mbit is not None and arguments.mbit <= 0:
        raise UsageError("a link carries something: --mbit is above 0")
    check_directory(arguments.out, "--out")
    console = Terminal(stderr=arguments.json, soft_wrap=True)
    benchmark = BENCHMARKS[arguments.what](arguments)
    circumstances = {"command_line": sys.argv, "versions": versions()}
    results = Results(arguments.out, benchmark.settings, circumstances, benchmark.made_type, benchmark.job_type)
    left = [job for job in benchmark.jobs if job not in results.runs]
    minutes = len(left) * benchmark.most_seconds / 60
    console.print(f"{len(benchmark.jobs)} runs, {len(left)} to be made, at most {minutes:.0f} minutes")
    if left:
        with tidy_when_terminated(), benchmark.measuring() as measure:
            for number, job in enumerate(left, 1):
                made = measure(job)
                results.add(job, made)
                style = "bold red" if benchmark.wrong(made) else ""
                console.print(f"{number}/{len(left)} {benchmark.line(made)}", style=style)
    runs = [results.runs[job] for job in benchmark.jobs]
    for table in benchmark.tables(runs):
        console.print(table)
    if arguments.json:
        for made in runs:
            print_json(row_of(made), indent=None)
    if wrong := [made.job for made in runs if benchmark.wrong(made)]:
        raise LabError(f"the memory of {len(wrong)} of {len(runs)} migrations was not found equal: {wrong}")
    return 0

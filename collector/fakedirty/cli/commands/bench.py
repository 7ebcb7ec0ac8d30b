"""``fakedirty bench``: benchmarks of the patch series and of observation, each with its arms side by side."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from fakedirty.cli.printing import print_json
from fakedirty.cli.termination import tidy_when_terminated
from fakedirty.errors import LabError, UsageError
from fakedirty.lab.bench import compression, convergence, forecasts
from fakedirty.lab.bench.benchmarks.benchmark import BenchmarkOptions
from fakedirty.lab.bench.benchmarks.catalogue import BENCHMARKS, REPETITIONS
from fakedirty.lab.bench.benchmarks.results import Results, run_row
from fakedirty.lab.bench.cost import ARMS
from fakedirty.lab.treatments import COMPRESSION_TREATMENTS, CONVERGENCE
from fakedirty.record.manifest import versions
from fakedirty.record.output_checks import check_directory
from fakedirty.show.terminal import Terminal

NAME = "bench"
HELP = "measure convergence and cost: treatments side by side, again and again"
EPILOG = """\
benchmarks:
  convergence   treatments on mixes of writes: a guest of 512 MiB rewrites its pages every 20 ms, over 1 Gbit/s
  compression   the same for guests whose pages compress, over 400 Mbit/s: skip, multifd with zstd and zlib, and both
  hybrid        pages that postcopy fetches, with skip and its sweeps, and without: 60,000 fake and 5,000 changed pages,
                over 400 Mbit/s, postcopy after round 2
  downtime      its parts, and how long a client gets no reply, with skip and without
  cost          CPU time for a page, without the patch series and in each mode: a stopped guest sends 2 GiB at full
                speed to a sink on loopback, without multifd and over two channels; and rounds of fake pages
  overhead      a pass at full speed, observed at each level, with page records and without, and unobserved
  step          copying, hashing and classifying a page, alone, on one thread and on two
  scaling       rounds of fake pages, without multifd, with one channel and with two
  hash          every hash alone, and reading, on the same 1 GiB of pages
  verdict       the forecast after two rounds and the real end, as it is and with skip: mixes of writes at two speeds of
                the link; and runs with 15 % more and 15 % less than the forecast recommends
  what-if       one migration recorded with page records, others predicted from it and carried out: the mixes of verdict
  scrape        a scrape of the metrics of 1 to 500 VMs, in the exporter and over HTTP: needs neither QEMU nor root

examples:
  fakedirty bench convergence --out results    all treatments on all mixes, three times (about an hour)
  fakedirty bench convergence --out results    the same again: continues, or shows the tables
  fakedirty bench convergence --out quick --mix 60k/5k --treatment vanilla --treatment skip --repetitions 1
  fakedirty bench convergence --out slow --mbit 400
  fakedirty bench compression --out compression
  fakedirty bench compression --out half --mix "text 32k/32k in 3 s" --treatment skip --treatment skip+multifd+zstd
  fakedirty bench hybrid --out hybrid
  fakedirty bench downtime --out downtime
  fakedirty bench step --out step
  fakedirty bench scaling --out scaling
  fakedirty bench cost --out cost --repetitions 100
  fakedirty bench cost --out cost-of-off --repetitions 300 --arm unpatched --arm off
  fakedirty bench overhead --out overhead
  fakedirty bench verdict --out verdicts
  fakedirty bench verdict --out verdict --mix 10k/5k
  fakedirty bench what-if --out what-if --mix 60k/5k
  fakedirty bench hash --out hashes --json
  fakedirty bench scrape --out scrape

exit status: 0 done; 1 the memories of a migration differ, or it failed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("what", choices=tuple(BENCHMARKS), help="the benchmark")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the directory of the results")
    parser.add_argument(
        "--repetitions",
        type=int,
        metavar="N",
        help="of every job; default: " + ", ".join(f"{name} {count}" for name, count in REPETITIONS.items()),
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the seed of the order; default: 1")
    parser.add_argument("--qemu", type=Path, help="a QEMU with the patch series; default: the one that was built")
    parser.add_argument("--json", action="store_true", help="print the runs as JSON lines; the tables go to stderr")
    group = parser.add_argument_group("convergence, compression, hybrid, downtime, verdict and what-if")
    group.add_argument(
        "--time-limit", type=float, default=25.0, metavar="S", help="seconds for each migration; default: 25"
    )
    group.add_argument(
        "--mbit",
        type=float,
        metavar="N",
        help="Mbit/s of the link, not for verdict and what-if; default: 1000, compression and hybrid 400",
    )
    every = (*convergence.MIXES, *compression.MIXES, *forecasts.MIXES)
    mixes = list(dict.fromkeys(mix.name for mix in every))
    treatments = list(dict.fromkeys(each.name for each in (*CONVERGENCE, *COMPRESSION_TREATMENTS)))
    group.add_argument("--mix", action="append", choices=mixes, help="this mix alone; default: all")
    group.add_argument("--treatment", action="append", choices=treatments, help="this treatment alone; default: all")
    group = parser.add_argument_group("cost")
    group.add_argument(
        "--unpatched", type=Path, help="a QEMU without the patch series; default: the one that was built"
    )
    arms = [arm.name for arm in ARMS]
    named = ", ".join(f"'{arm}'" for arm in arms)
    group.add_argument("--arm", action="append", choices=arms, metavar="ARM", help=f"this arm alone; default: {named}")


def run(arguments: argparse.Namespace) -> int:
    """Measure the jobs that have no result yet, and show the tables of all."""
    options = _options(arguments)
    check_directory(arguments.out, "--out")
    console = Terminal(stderr=arguments.json, soft_wrap=True)
    benchmark = BENCHMARKS[options.name](options)
    facts = {"command_line": sys.argv, "versions": versions()}
    results = Results(arguments.out, benchmark.settings, facts, benchmark.run_type, benchmark.job_type)
    missing = [job for job in benchmark.jobs if job not in results.runs]
    minutes = len(missing) * benchmark.most_seconds / 60
    console.print(f"{len(benchmark.jobs)} runs, {len(missing)} of them missing, at most {minutes:.0f} minutes")
    with tidy_when_terminated(), closing(benchmark.measure(missing, results.runs)) as measured:
        for number, run in enumerate(measured, 1):
            results.add(run.job, run)
            style = "bold red" if benchmark.is_wrong(run) else ""
            console.print(f"{number}/{len(missing)} {benchmark.line(run)}", style=style)
    runs = [results.runs[job] for job in benchmark.jobs]
    for table in benchmark.tables(runs):
        console.print(table)
    if arguments.json:
        for run in runs:
            print_json(run_row(run), indent=None)
    if wrong := [run.job for run in runs if benchmark.is_wrong(run)]:
        raise LabError(f"the memories of {len(wrong)} of {len(runs)} migrations differ: {wrong}")
    return 0


def _options(arguments: argparse.Namespace) -> BenchmarkOptions:
    """The options of the benchmark; UsageError if one has no meaning."""
    repetitions = REPETITIONS[arguments.what] if arguments.repetitions is None else arguments.repetitions
    if repetitions < 1 or arguments.time_limit <= 0:
        raise UsageError("there is nothing to measure: --repetitions is 1 or more, and --time-limit above 0")
    if arguments.mbit is not None and arguments.mbit <= 0:
        raise UsageError("a link carries something: --mbit is above 0")
    return BenchmarkOptions(
        name=arguments.what,
        repetitions=repetitions,
        seed=arguments.seed,
        time_limit=arguments.time_limit,
        qemu=arguments.qemu,
        unpatched=arguments.unpatched,
        mbit=arguments.mbit,
        mixes=arguments.mix or (),
        treatments=arguments.treatment or (),
        arms=arguments.arm or (),
    )

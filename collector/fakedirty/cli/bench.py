"""``fakedirty bench``: what is claimed of the series, measured side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty.errors import LabError, UsageError
from fakedirty.lab import convergence, cost, hash_speed, overhead, scrape_speed, verdicts
from fakedirty.lab.guest import build_guest
from fakedirty.lab.qemu import qemu_binary, qemu_facts, unpatched_binary
from fakedirty.lab.treatments import CONVERGENCE
from fakedirty.record.manifest import versions
from fakedirty.record.places import check_directory
from fakedirty.show.terminal import Terminal

from .bench_report import (
    convergence_line,
    convergence_tables,
    cost_line,
    cost_tables,
    hash_line,
    hash_tables,
    overhead_line,
    overhead_tables,
    scrape_line,
    scrape_tables,
)
from .bench_results import Results, row_of
from .bench_verdicts import verdict_line, verdict_tables
from .printing import print_json
from .termination import tidy_when_terminated

NAME = "bench"
HELP = "measure convergence and cost: treatments side by side, again and again"
EPILOG = """\
benchmarks:
  convergence   treatments on mixes of writes: a guest of 512 MiB that rewrites its pages every 20 ms, over 1 Gbit/s
  cost          QEMU without the series, and with it in each mode: 2 GiB in one pass at full speed, of a stopped guest,
                to a sink on loopback; and rounds in which all of them are fake
  overhead      a pass at full speed, observed at each level, with page records and without, or not at all
  hash          every hash alone, on the same 1 GiB of pages, and reading them
  verdict       what is predicted after two rounds, as it is and with skip, and what comes of it: mixes of writes at two
                speeds of the link
  scrape        a scrape of the metrics of 1 to 500 VMs, in the exporter and over HTTP: needs neither QEMU nor root

examples:
  fakedirty bench convergence --out results    all treatments on all mixes, three times (about an hour)
  fakedirty bench convergence --out results    the same again: goes on where it was, or shows the tables
  fakedirty bench convergence --out quick --mix 60k/5k --treatment vanilla --treatment skip --repetitions 1
  fakedirty bench cost --out cost --repetitions 100
  fakedirty bench overhead --out overhead
  fakedirty bench verdict --out verdicts
  fakedirty bench hash --out hashes --json
  fakedirty bench scrape --out scrape

exit status: 0 done; 1 a memory differed, or a migration failed
"""
REPETITIONS = {"convergence": 3, "cost": 60, "overhead": 4, "hash": 10, "scrape": 10, "verdict": 2}


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Its jobs, what makes a run of one, and how runs are kept, told and summed up."""

    settings: dict[str, Any]
    jobs: Sequence[Any]
    measuring: Callable[[], AbstractContextManager[Callable[[Any], Any]]]
    made_type: type[Any]
    job_type: type[Any]
    line: Callable[[Any], str]
    tables: Callable[[Sequence[Any]], Iterable[object]]
    most_seconds: float  # that one job takes
    wrong: Callable[[Any], bool] = lambda made: False  # whether a run shows that a memory was not equal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", choices=tuple(BENCHMARKS), help="what to measure")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results are kept")
    parser.add_argument(
        "--repetitions",
        type=int,
        metavar="N",
        help="of every migration; default: 3, cost 60, overhead 4, hash and scrape 10, verdict 2",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what the order is drawn from; default: 1")
    parser.add_argument("--qemu", type=Path, help="a QEMU with the series; the one that was built if not given")
    parser.add_argument("--json", action="store_true", help="the runs as JSON lines; what is told goes to stderr")
    group = parser.add_argument_group("convergence")
    group.add_argument("--time-limit", type=float, default=25.0, metavar="S", help="seconds each; default: 25")
    mixes, treatments = [mix.name for mix in convergence.MIXES], [each.name for each in CONVERGENCE]
    group.add_argument("--mix", action="append", choices=mixes, help="this mix alone; default: all")
    group.add_argument("--treatment", action="append", choices=treatments, help="this treatment alone; default: all")
    group = parser.add_argument_group("cost")
    group.add_argument("--unpatched", type=Path, help="a QEMU without the series; the one that was built if not given")


def run(arguments: argparse.Namespace) -> int:
    """Measure what is not measured yet, and show it all."""
    if arguments.repetitions is None:
        arguments.repetitions = REPETITIONS[arguments.what]
    if arguments.repetitions < 1 or arguments.time_limit <= 0:
        raise UsageError("there is nothing to measure: --repetitions is 1 or more, and --time-limit above 0")
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


def _convergence(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("linux"), arguments.qemu or qemu_binary()
    mixes = {mix.name: mix for mix in convergence.MIXES if mix.name in (arguments.mix or [mix.name])}
    treatments = {each.name: each for each in CONVERGENCE if each.name in (arguments.treatment or [each.name])}

    def measure(job: convergence.Job) -> convergence.Measured:
        mix, treatment = mixes[job.mix], treatments[job.treatment]
        return convergence.measure(job, mix, treatment, qemu, guest, time_limit=arguments.time_limit)

    jobs = convergence.jobs(arguments.repetitions, arguments.seed, list(mixes.values()), list(treatments.values()))
    return Benchmark(
        settings={
            "benchmark": "convergence",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": arguments.seed,
            "time_limit_seconds": arguments.time_limit,
            "downtime_limit_ms": convergence.DOWNTIME_LIMIT_MS,
            "link_bits_per_second": convergence.LINK_BITS,
        },
        jobs=list(jobs),
        measuring=lambda: nullcontext(measure),
        made_type=convergence.Measured,
        job_type=convergence.Job,
        line=convergence_line,
        tables=lambda runs: convergence_tables(runs, list(mixes.values()), convergence.LINK_BITS / 8),
        most_seconds=arguments.time_limit + 12.0,  # booting, letting through, comparing
        wrong=lambda made: not made.memory_equal,
    )


def _cost(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("baremetal"), arguments.qemu or qemu_binary()
    unpatched = arguments.unpatched or unpatched_binary()
    return Benchmark(
        settings={
            "benchmark": "cost",
            "qemu": qemu_facts(qemu),
            "unpatched": qemu_facts(unpatched),
            "guest": guest.directory.name,
            "seed": arguments.seed,
        },
        jobs=list(cost.cost_jobs(arguments.repetitions, arguments.seed)),
        measuring=lambda: cost.cost_bench(qemu, unpatched, guest),
        made_type=cost.Cost,
        job_type=cost.CostJob,
        line=cost_line,
        tables=cost_tables,
        most_seconds=5.0,
    )


def _overhead(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("baremetal"), arguments.qemu or qemu_binary()
    return Benchmark(
        settings={
            "benchmark": "overhead",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": arguments.seed,
        },
        jobs=list(overhead.overhead_jobs(arguments.repetitions, arguments.seed)),
        measuring=lambda: overhead.overhead_bench(qemu, guest),
        made_type=overhead.Overhead,
        job_type=overhead.OverheadJob,
        line=overhead_line,
        tables=overhead_tables,
        most_seconds=40.0,
    )


def _hash(arguments: argparse.Namespace) -> Benchmark:
    qemu = arguments.qemu or qemu_binary()
    return Benchmark(
        settings={"benchmark": "hash", "qemu": qemu_facts(qemu)},
        jobs=list(hash_speed.hash_jobs(arguments.repetitions)),
        measuring=lambda: nullcontext(lambda job: hash_speed.measure_hashes(job, qemu)),
        made_type=hash_speed.HashSpeed,
        job_type=hash_speed.HashJob,
        line=hash_line,
        tables=hash_tables,
        most_seconds=10.0,
    )


def _scrape(arguments: argparse.Namespace) -> Benchmark:
    return Benchmark(
        settings={"benchmark": "scrape", "rounds": scrape_speed.ROUNDS},
        jobs=list(scrape_speed.scrape_jobs(arguments.repetitions)),
        measuring=lambda: nullcontext(scrape_speed.measure_scrapes),
        made_type=scrape_speed.ScrapeSpeed,
        job_type=scrape_speed.ScrapeJob,
        line=scrape_line,
        tables=scrape_tables,
        most_seconds=10.0,
    )


def _verdict(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("linux"), arguments.qemu or qemu_binary()

    def measure(job: verdicts.VerdictJob) -> verdicts.Checked:
        return verdicts.check_verdict(job, qemu, guest, time_limit=arguments.time_limit)

    return Benchmark(
        settings={
            "benchmark": "verdict",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": arguments.seed,
            "time_limit_seconds": arguments.time_limit,
            "downtime_limit_ms": convergence.DOWNTIME_LIMIT_MS,
            "frozen_after_round": verdicts.FROZEN_AFTER,
        },
        jobs=list(verdicts.verdict_jobs(arguments.repetitions, arguments.seed)),
        measuring=lambda: nullcontext(measure),
        made_type=verdicts.Checked,
        job_type=verdicts.VerdictJob,
        line=verdict_line,
        tables=verdict_tables,
        most_seconds=arguments.time_limit + 15.0,
        wrong=lambda made: not made.memory_equal,
    )


BENCHMARKS: dict[str, Callable[[argparse.Namespace], Benchmark]] = {
    "convergence": _convergence,
    "cost": _cost,
    "overhead": _overhead,
    "hash": _hash,
    "scrape": _scrape,
    "verdict": _verdict,
}

"""The benchmarks of what something costs: each has what is measured, and how it is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext

from fakedirty.lab.bench import cost, hash_speed, overhead, scaling, scrape_speed, step_speed
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_binary, qemu_facts, unpatched_binary

from .benchmark import Benchmark
from .report import (
    cost_line,
    cost_tables,
    hash_line,
    hash_tables,
    overhead_line,
    overhead_tables,
    scrape_line,
    scrape_tables,
)
from .scaling import scaling_line, scaling_tables, step_line, step_tables


def _cost(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("baremetal"), arguments.qemu or qemu_binary()
    unpatched = arguments.unpatched or unpatched_binary()
    arms = [arm for arm in cost.ARMS if not arguments.arm or arm.name in arguments.arm]
    return Benchmark(
        settings={
            "benchmark": "cost",
            "qemu": qemu_facts(qemu),
            "unpatched": qemu_facts(unpatched),
            "guest": guest.directory.name,
            "seed": arguments.seed,
        },
        jobs=list(cost.cost_jobs(arguments.repetitions, arguments.seed, arms)),
        measuring=lambda: cost.cost_bench(qemu, unpatched, guest, arms),
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


def _step(arguments: argparse.Namespace) -> Benchmark:
    qemu = arguments.qemu or qemu_binary()
    return Benchmark(
        settings={"benchmark": "step", "qemu": qemu_facts(qemu)},
        jobs=list(step_speed.step_jobs(arguments.repetitions)),
        measuring=lambda: nullcontext(lambda job: step_speed.measure_step(job, qemu)),
        made_type=step_speed.StepSpeed,
        job_type=step_speed.StepJob,
        line=step_line,
        tables=step_tables,
        most_seconds=5.0,
    )


def _scaling(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("baremetal"), arguments.qemu or qemu_binary()
    return Benchmark(
        settings={
            "benchmark": "scaling",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": arguments.seed,
        },
        jobs=list(scaling.scaling_jobs(arguments.repetitions, arguments.seed)),
        measuring=lambda: scaling.scaling_bench(qemu, guest),
        made_type=scaling.Scaling,
        job_type=scaling.ScalingJob,
        line=scaling_line,
        tables=scaling_tables,
        most_seconds=15.0,
    )


COSTS: dict[str, Callable[[argparse.Namespace], Benchmark]] = {
    "cost": _cost,
    "overhead": _overhead,
    "hash": _hash,
    "step": _step,
    "scaling": _scaling,
    "scrape": _scrape,
}

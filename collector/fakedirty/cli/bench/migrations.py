"""The benchmarks of whole migrations over a shaped link: each has what is measured, and how it is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from fakedirty.errors import UsageError
from fakedirty.lab.bench import compression, convergence, forecasts, hybrid
from fakedirty.lab.bench.convergence import Mix
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_binary, qemu_facts
from fakedirty.lab.treatments import COMPRESSION_TREATMENTS, CONVERGENCE, Treatment

from .benchmark import Benchmark
from .compression import compression_line, compression_tables
from .forecasts import verdict_line, verdict_tables
from .hybrid import hybrid_line, hybrid_tables
from .report import convergence_line, convergence_tables

MBIT = 1_000_000


def _chosen(
    arguments: argparse.Namespace, mixes: Sequence[Mix], treatments: Sequence[Treatment]
) -> tuple[dict[str, Mix], dict[str, Treatment]]:
    """The mixes and the treatments of this benchmark that were asked for; all of them where none was."""
    for option, asked, known in (
        ("--mix", arguments.mix, [mix.name for mix in mixes]),
        ("--treatment", arguments.treatment, [each.name for each in treatments]),
    ):
        if strange := [name for name in asked or () if name not in known]:
            raise UsageError(f"{option} {strange[0]}: bench {arguments.what} has {', '.join(known)}")
    return (
        {mix.name: mix for mix in mixes if mix.name in (arguments.mix or [mix.name])},
        {each.name: each for each in treatments if each.name in (arguments.treatment or [each.name])},
    )


def _link_bits(arguments: argparse.Namespace, usual: int) -> int:
    return usual if arguments.mbit is None else int(arguments.mbit * MBIT)


def _treated(
    arguments: argparse.Namespace,
    measure: Callable[..., convergence.ConvergenceRun],
    mixes: Mapping[str, Mix],
    treatments: Mapping[str, Treatment],
    link_bits: int,
    **settings: object,
) -> dict[str, Any]:
    """What two benchmarks of treatments on mixes have in common; `settings` are those of one alone."""
    guest, qemu, limit = build_guest("linux"), arguments.qemu or qemu_binary(), arguments.time_limit

    def measured(job: convergence.ConvergenceJob) -> convergence.ConvergenceRun:
        mix, treatment = mixes[job.mix], treatments[job.treatment]
        return measure(job, mix, treatment, qemu, guest, time_limit=limit, link_bits=link_bits)

    jobs = convergence.jobs(arguments.repetitions, arguments.seed, list(mixes.values()), list(treatments.values()))
    return {
        "settings": {
            "benchmark": arguments.what,
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": arguments.seed,
            "time_limit_seconds": limit,
            "downtime_limit_ms": convergence.DOWNTIME_LIMIT_MS,
            "link_bits_per_second": link_bits,
            **settings,
        },
        "jobs": list(jobs),
        "measuring": lambda: nullcontext(measured),
        "made_type": convergence.ConvergenceRun,
        "job_type": convergence.ConvergenceJob,
        "wrong": lambda made: not made.memory_equal,
    }


def _convergence(arguments: argparse.Namespace) -> Benchmark:
    mixes, treatments = _chosen(arguments, convergence.MIXES, CONVERGENCE)
    link_bits = _link_bits(arguments, convergence.LINK_BITS)
    return Benchmark(
        **_treated(arguments, convergence.measure, mixes, treatments, link_bits),
        line=convergence_line,
        tables=lambda runs: convergence_tables(runs, list(mixes.values()), link_bits / 8),
        most_seconds=arguments.time_limit + 12.0,  # booting, letting through, comparing
    )


def _verdict(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("linux"), arguments.qemu or qemu_binary()

    def measure(job: forecasts.ForecastJob) -> forecasts.CheckedForecast:
        return forecasts.check_verdict(job, qemu, guest, time_limit=arguments.time_limit)

    return Benchmark(
        settings={
            "benchmark": "verdict",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": arguments.seed,
            "time_limit_seconds": arguments.time_limit,
            "downtime_limit_ms": convergence.DOWNTIME_LIMIT_MS,
            "frozen_after_round": forecasts.FROZEN_AFTER,
        },
        jobs=list(forecasts.verdict_jobs(arguments.repetitions, arguments.seed)),
        measuring=lambda: nullcontext(measure),
        made_type=forecasts.CheckedForecast,
        job_type=forecasts.ForecastJob,
        line=verdict_line,
        tables=verdict_tables,
        most_seconds=arguments.time_limit + 15.0,
        wrong=lambda made: not made.memory_equal,
    )


def _compression(arguments: argparse.Namespace) -> Benchmark:
    mixes, treatments = _chosen(arguments, compression.MIXES, COMPRESSION_TREATMENTS)
    link_bits = _link_bits(arguments, compression.MBIT * MBIT)
    return Benchmark(
        **_treated(arguments, compression.measure, mixes, treatments, link_bits, text_words=compression.TEXT),
        line=compression_line,
        tables=lambda runs: compression_tables(runs, list(mixes.values()), treatments, link_bits / 8),
        most_seconds=arguments.time_limit + 20.0,  # booting, the codec alone, letting through, comparing
    )


def _hybrid(arguments: argparse.Namespace) -> Benchmark:
    guest, qemu = build_guest("linux"), arguments.qemu or qemu_binary()
    link_bits = _link_bits(arguments, hybrid.MBIT * MBIT)

    def measure(job: hybrid.HybridJob) -> hybrid.Hybrid:
        return hybrid.measure_hybrid(job, qemu, guest, time_limit=arguments.time_limit, link_bits=link_bits)

    return Benchmark(
        settings={
            "benchmark": "hybrid",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "mix": hybrid.MIX.name,
            "seed": arguments.seed,
            "time_limit_seconds": arguments.time_limit,
            "downtime_limit_ms": convergence.DOWNTIME_LIMIT_MS,
            "link_bits_per_second": link_bits,
            "postcopy_after_round": hybrid.AFTER,
        },
        jobs=list(hybrid.hybrid_jobs(arguments.repetitions, arguments.seed)),
        measuring=lambda: nullcontext(measure),
        made_type=hybrid.Hybrid,
        job_type=hybrid.HybridJob,
        line=hybrid_line,
        tables=hybrid_tables,
        most_seconds=arguments.time_limit + 12.0,
        wrong=lambda made: not made.memory_right,
    )


MIGRATIONS: dict[str, Callable[[argparse.Namespace], Benchmark]] = {
    "convergence": _convergence,
    "compression": _compression,
    "hybrid": _hybrid,
    "verdict": _verdict,
}

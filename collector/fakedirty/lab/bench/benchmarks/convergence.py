"""The benchmarks of treatments on mixes of writes, and the tables of the one on convergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table

from fakedirty.errors import UsageError
from fakedirty.lab.bench import convergence
from fakedirty.lab.bench.convergence import ConvergenceJob, ConvergenceRun, Mix
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts
from fakedirty.lab.treatments import CONVERGENCE, Treatment

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import spread
from .titled_table import titled_table

HEADS = ("treatment", "ended", "total s", "/ limit", "downtime ms", "sent MB", "rounds")


def convergence_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of treatments on mixes of writes."""
    choice = choose(options, convergence.MIXES, CONVERGENCE)
    link_bits = options.link_bits(convergence.LINK_BITS)
    return Benchmark(
        **treatment_fields(options, choice, convergence.measure, link_bits),
        line=convergence_line,
        tables=lambda runs: convergence_tables(runs, list(choice.mixes.values()), link_bits / 8),
        most_seconds=options.time_limit + 12.0,  # to boot, let through and compare
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """The mixes and treatments that are measured, by name."""

    mixes: Mapping[str, Mix]
    treatments: Mapping[str, Treatment]


def choose(options: BenchmarkOptions, mixes: Sequence[Mix], treatments: Sequence[Treatment]) -> Choice:
    """Choose those that the options name, or all; UsageError if the benchmark has none of that name."""
    for option, names, known in (
        ("--mix", options.mixes, [mix.name for mix in mixes]),
        ("--treatment", options.treatments, [each.name for each in treatments]),
    ):
        if unknown := [name for name in names if name not in known]:
            raise UsageError(f"{option} {unknown[0]}: bench {options.name} has {', '.join(known)}")
    return Choice(
        {mix.name: mix for mix in mixes if mix.name in (options.mixes or [mix.name])},
        {each.name: each for each in treatments if each.name in (options.treatments or [each.name])},
    )


def treatment_fields(
    options: BenchmarkOptions,
    choice: Choice,
    measure: Callable[..., ConvergenceRun],
    link_bits: int,
    **settings: object,
) -> dict[str, Any]:
    """The fields that all benchmarks of treatments on mixes have in common.

    Args:
        options: of the benchmark.
        choice: the mixes and treatments that are measured.
        measure: makes a run from a job, its mix and its treatment.
        link_bits: the rate of the link, per second.
        settings: further ones, of this benchmark alone.
    """
    guest, qemu = build_guest("linux"), options.qemu_path()

    def measure_job(job: ConvergenceJob) -> ConvergenceRun:
        mix, treatment = choice.mixes[job.mix], choice.treatments[job.treatment]
        return measure(job, mix, treatment, qemu, guest, time_limit=options.time_limit, link_bits=link_bits)

    mixes, treatments = list(choice.mixes.values()), list(choice.treatments.values())
    return {
        "settings": {
            "benchmark": options.name,
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": options.seed,
            "time_limit_seconds": options.time_limit,
            "downtime_limit_ms": convergence.DOWNTIME_LIMIT_MS,
            "link_bits_per_second": link_bits,
            **settings,
        },
        "jobs": list(convergence.jobs(options.repetitions, options.seed, mixes, treatments)),
        "measuring": lambda: nullcontext(measure_job),
        "run_type": ConvergenceRun,
        "job_type": ConvergenceJob,
        "is_wrong": lambda run: not run.memory_equal,
    }


def convergence_line(run: ConvergenceRun) -> str:
    """One migration on one line."""
    ended = f"{run.total_seconds:.2f} s, downtime {run.downtime_ms} ms" if run.converged else "does not converge"
    sent = f"{run.rounds} rounds, {run.sent_bytes / 1e6:,.0f} MB"
    return f"{run.job.mix} {run.job.treatment}: {ended}, {sent}; {'equal' if run.memory_equal else 'NOT EQUAL'}"


def convergence_tables(
    runs: Sequence[ConvergenceRun], mixes: Sequence[Mix], bytes_per_second: float
) -> Iterator[Table]:
    """One table for each mix. The treatment with the fastest run comes first."""
    for mix in mixes:
        of_mix = [run for run in runs if run.job.mix == mix.name]
        limit = median(run.limit_seconds(mix, bytes_per_second) for run in of_mix)
        pace = spread([run.sweeps_per_second for run in of_mix], 1)
        table = titled_table(
            f"{mix.name}: {mix.fake_share:.0%} of the rewritten pages are fake; {pace} sweeps/s; "
            f"limit {limit:.2f} s = (bulk + {mix.changed_pages:,.0f} changed pages) / line rate",
            HEADS,
            left=("treatment",),
        )
        for name, group in by_treatment(of_mix).items():
            ended = [run for run in group if run.converged]
            seconds = [run.total_seconds for run in group]
            table.add_row(
                name,
                f"{len(ended)} of {len(group)}",
                lower_bound(group) + spread(seconds, 2),
                f"{lower_bound(group)}{median(seconds) / limit:.2f}",
                spread([run.downtime_ms for run in ended if run.downtime_ms is not None], 0),
                spread([run.sent_bytes / 1e6 for run in group], 0),
                spread([run.rounds for run in group], 0),
            )
        yield table


def by_treatment(runs: Sequence[ConvergenceRun]) -> dict[str, list[ConvergenceRun]]:
    """The runs of each treatment; the treatment with the fastest run comes first."""
    groups: dict[str, list[ConvergenceRun]] = {}
    for run in sorted(runs, key=lambda run: run.total_seconds):
        groups.setdefault(run.job.treatment, [])
    for run in runs:
        groups[run.job.treatment].append(run)
    return groups


def lower_bound(group: Sequence[ConvergenceRun]) -> str:
    """The sign before the time of a group: if some of its runs did not end, the time is a lower bound."""
    return "" if all(run.converged for run in group) else "> "

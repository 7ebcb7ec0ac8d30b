"""The benchmark of the step that every path of a migration takes for a page, alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from rich.table import Table

from fakedirty.lab.bench.step_speed import StepJob, StepSpeed, measure_step, step_jobs
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import spread
from .titled_table import titled_table


def step_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of copy, hash and classification, on one thread and on two."""
    qemu = options.qemu_path()
    return Benchmark(
        settings={"benchmark": "step", "qemu": qemu_facts(qemu)},
        jobs=list(step_jobs(options.repetitions)),
        measuring=lambda: nullcontext(lambda job: measure_step(job, qemu)),
        run_type=StepSpeed,
        job_type=StepJob,
        line=step_line,
        tables=step_tables,
        most_seconds=5.0,
    )


def step_line(run: StepSpeed) -> str:
    """One run on one line."""
    return f"{run.one_ns:.1f} ns a page on one thread, {run.two_ns:.1f} on two: {run.speedup:.2f} times as fast"


def step_tables(runs: Sequence[StepSpeed]) -> Iterator[Table]:
    """The time for a page on one and on two threads, and the ratio within a run."""
    heads = ("threads", "ns a page", "times as fast")
    table = titled_table("copy, hash, classify: median (range)", heads)
    table.add_row("1", spread([run.one_ns for run in runs], 1), "")
    table.add_row("2", spread([run.two_ns for run in runs], 1), spread([run.speedup for run in runs], 2))
    yield table

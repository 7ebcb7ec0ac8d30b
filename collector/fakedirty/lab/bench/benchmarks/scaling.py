"""The benchmark of scaling: the time for a fake page on each path, and the gain of a second channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from fakedirty.lab.bench.scaling import ARMS, ScalingJob, ScalingRun, most_speedup, scaling_bench, scaling_jobs
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import interval, spread
from .titled_table import titled_table

ALONE, ONE, TWO = ARMS

#: By head of the column: the value of a run.
COLUMNS: dict[str, Callable[[ScalingRun], float]] = {
    "pages": lambda run: run.pages,
    "time": lambda run: run.path_ns,
    "CPU, migration thread": lambda run: run.main_ns,
    "CPU, channels": lambda run: run.channel_ns,
    "CPU, all": lambda run: run.cpu_ns,
    "copy and hash": lambda run: run.hash_ns,
}

#: Ratios within a repetition, of its runs without multifd, with one channel, and with two.
RATIOS: dict[str, Callable[[ScalingRun, ScalingRun, ScalingRun], float]] = {
    "two channels, times as fast as one": lambda _alone, one, two: one.path_ns / two.path_ns,
    "what two cores allow: 2h / (h + q)": lambda _alone, one, _two: _most_gain(one),
    "the first by the second": lambda _alone, one, two: one.path_ns / two.path_ns / _most_gain(one),
    "CPU of a page in channels, two by one": lambda _alone, one, two: two.channel_ns / one.channel_ns,
    "copy and hash, one channel by no multifd": lambda alone, one, _two: one.hash_ns / alone.hash_ns,
    "CPU of a page, all threads, one channel by no multifd": lambda alone, one, _two: one.cpu_ns / alone.cpu_ns,
    "CPU of a page, all threads, two channels by no multifd": lambda alone, _one, two: two.cpu_ns / alone.cpu_ns,
}


def scaling_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of rounds of fake pages, without multifd, with one channel and with two."""
    guest, qemu = build_guest("baremetal"), options.qemu_path()
    return Benchmark(
        settings={
            "benchmark": "scaling",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": options.seed,
        },
        jobs=list(scaling_jobs(options.repetitions, options.seed)),
        measuring=lambda: scaling_bench(qemu, guest),
        run_type=ScalingRun,
        job_type=ScalingJob,
        line=scaling_line,
        tables=scaling_tables,
        most_seconds=15.0,
    )


def scaling_line(run: ScalingRun) -> str:
    """One migration on one line."""
    cpu = f"CPU {run.main_ns:.0f} ns in the migration thread, {run.channel_ns:.0f} in channels"
    return f"{run.job.arm}: {run.pages:,} fake pages, {run.path_ns:.0f} ns a page; {cpu}"


def scaling_tables(runs: Sequence[ScalingRun]) -> Iterator[Table]:
    """The time for a page on each path, then the gain of the second channel beside the most that two cores allow."""
    title = "rounds of fake pages, ns a page: median (range)"
    table = titled_table(title, ("path", *COLUMNS), left=("path",))
    for name in ARMS:
        group = [run for run in runs if run.job.arm == name]
        table.add_row(name, *(spread([value(run) for run in group], 0) for value in COLUMNS.values()))
    yield table
    title = "ratios within each repetition: median, 95 % interval"
    table = titled_table(title, ("compared", "pairs", ""), left=("compared",))
    by_job = {(run.job.repetition, run.job.arm): run for run in runs}
    triples = [
        (by_job[number, ALONE], by_job[number, ONE], by_job[number, TWO])
        for number in sorted({run.job.repetition for run in runs})
        if all((number, name) in by_job for name in ARMS)
    ]
    for words, ratio in RATIOS.items():
        table.add_row(words, str(len(triples)), interval([ratio(*triple) for triple in triples], "{:.2f}"))
    yield table


def _most_gain(one: ScalingRun) -> float:
    """The most that a second channel can gain; h is a channel's time for a page, q the migration thread's."""
    return most_speedup(one.channel_ns, one.main_ns)

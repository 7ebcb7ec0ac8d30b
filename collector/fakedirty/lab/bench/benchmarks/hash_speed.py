"""The benchmark of the hashes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.hash_speed import READ, HashJob, HashSpeed, hash_jobs, measure_hashes
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import spread
from .titled_table import titled_table

HEADS = ("hash", "ns a page", "GB/s", "of the speed of reading", "times as fast as sha1")


def hash_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of every hash, and of reading, on the same pages."""
    qemu = options.qemu_path()
    return Benchmark(
        settings={"benchmark": "hash", "qemu": qemu_facts(qemu)},
        jobs=list(hash_jobs(options.repetitions)),
        measuring=lambda: nullcontext(lambda job: measure_hashes(job, qemu)),
        run_type=HashSpeed,
        job_type=HashJob,
        line=hash_line,
        tables=hash_tables,
        most_seconds=10.0,
    )


def hash_line(run: HashSpeed) -> str:
    """One run on one line."""
    return ", ".join(f"{name} {ns:,.0f}" for name, ns in run.ns_per_page.items()) + " ns a page"


def hash_tables(runs: Sequence[HashSpeed]) -> Iterator[Table]:
    """The time of each hash for a page, and ratios of speeds within a run: reading first, then the fastest hash."""
    table = titled_table("one page, by hash: median (range)", HEADS, left=("hash",))
    times = {name: [run.ns_per_page[name] for run in runs] for name in runs[0].ns_per_page}
    for name, ns in sorted(times.items(), key=lambda row: (row[0] != READ, median(row[1]))):
        table.add_row(
            name,
            spread(ns, 1),
            spread([PAGE_BYTES / each for each in ns], 1),
            spread([run.ns_per_page[READ] / run.ns_per_page[name] for run in runs], 2),
            spread([run.ns_per_page["sha1"] / run.ns_per_page[name] for run in runs if "sha1" in times], 1),
        )
    yield table

"""The benchmark of the cost of observation: for the migration, and for the collector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from fakedirty.lab.bench.overhead import ARMS, OverheadJob, OverheadRun, overhead_bench, overhead_jobs
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import interval, spread
from .titled_table import titled_table

GIGABIT_PAGES = 1e9 / 8 / PAGE_BYTES  # pages per second that 1 Gbit/s carries
MIGRATION_HEADS = (
    "observed",
    "jobs",
    "seconds alone",
    "time",
    "CPU of the migration thread",
    "ns a page",
    "core at 1 Gbit/s",
)
COLLECTOR_HEADS = ("observed", "CPU s a pass", "pages a CPU s", "MiB at most", "MiB grown", "events lost")


def overhead_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of passes at full speed, observed at each level and unobserved."""
    guest, qemu = build_guest("baremetal"), options.qemu_path()
    return Benchmark(
        settings={
            "benchmark": "overhead",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": options.seed,
        },
        jobs=list(overhead_jobs(options.repetitions, options.seed)),
        measuring=lambda: overhead_bench(qemu, guest),
        run_type=OverheadRun,
        job_type=OverheadJob,
        line=overhead_line,
        tables=overhead_tables,
        most_seconds=40.0,
    )


def overhead_line(run: OverheadRun) -> str:
    """One job on one line."""
    lost = f", {run.lost_events} events lost" if run.lost_events else ""
    seconds = f"{run.base_pass_seconds:.2f} s, observed {run.pass_seconds:.2f} s"
    return f"{run.job.arm}: {run.pages:,} pages in {seconds}; collector {run.collector_seconds:.2f} s{lost}"


def overhead_tables(runs: Sequence[OverheadRun]) -> Iterator[Table]:
    """What each arm adds to the same migration unobserved, and the cost for the collector."""
    by_arm = {arm.name: [run for run in runs if run.job.arm == arm.name] for arm in ARMS}
    title = "cost for a migration at full speed: median, 95 % interval"
    table = titled_table(title, MIGRATION_HEADS, left=("observed",))
    for name, group in by_arm.items():
        table.add_row(
            name,
            str(len(group)),
            spread([run.base_pass_seconds for run in group], 2),
            interval([run.time_share for run in group]),
            interval([run.thread_share for run in group]),
            interval([run.added_ns for run in group], "{:+,.0f}"),
            interval([run.added_ns * 1e-9 * GIGABIT_PAGES for run in group]),
        )
    yield table
    table = titled_table("cost for the collector: median (range)", COLLECTOR_HEADS, left=("observed",))
    for name, group in by_arm.items():
        table.add_row(
            name,
            spread([run.collector_seconds for run in group], 3),
            spread([run.pages / run.collector_seconds for run in group], 0),
            spread([run.collector_bytes / (1 << 20) for run in group], 0),
            spread([run.grown_bytes / (1 << 20) for run in group], 1),
            f"{sum(run.lost_events for run in group):,}",
        )
    yield table

"""The benchmark of hybrid migrations: the pages that were left to postcopy, and those that the guest missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.convergence import DOWNTIME_LIMIT_MS
from fakedirty.lab.bench.hybrid import AFTER, ARMS, MBIT, MIX, SWEPT, HybridJob, HybridRun, hybrid_jobs, measure_hybrid
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import spread
from .titled_table import titled_table

HEADS = (
    "arm",
    "postcopy",
    "pages left",
    "of that, with sweeps",
    "missed",
    "postcopy MB",
    "swept",
    "total s",
    "downtime ms",
    "blackout ms",
)


def hybrid_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of postcopy with skip and its sweeps, and without."""
    guest, qemu = build_guest("linux"), options.qemu_path()
    link_bits = options.link_bits(MBIT * 1_000_000)

    def measure(job: HybridJob) -> HybridRun:
        return measure_hybrid(job, qemu, guest, time_limit=options.time_limit, link_bits=link_bits)

    return Benchmark(
        settings={
            "benchmark": "hybrid",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "mix": MIX.name,
            "seed": options.seed,
            "time_limit_seconds": options.time_limit,
            "downtime_limit_ms": DOWNTIME_LIMIT_MS,
            "link_bits_per_second": link_bits,
            "postcopy_after_round": AFTER,
        },
        jobs=list(hybrid_jobs(options.repetitions, options.seed)),
        measuring=lambda: nullcontext(measure),
        run_type=HybridRun,
        job_type=HybridJob,
        line=hybrid_line,
        tables=hybrid_tables,
        most_seconds=options.time_limit + 12.0,
        is_wrong=lambda run: not run.memory_right,
    )


def hybrid_line(run: HybridRun) -> str:
    """One migration on one line."""
    left = "no postcopy" if run.left_pages is None else f"{run.left_pages:,} pages left, {run.requests:,} missed"
    times = f"{run.total_seconds:.2f} s, downtime {run.downtime_ms} ms, blackout {run.blackout_ms:.0f} ms"
    return f"{run.job.arm}: {left}, {times}; memory {'right' if run.memory_right else 'NOT RIGHT'}"


def hybrid_tables(runs: Sequence[HybridRun]) -> Iterator[Table]:
    """One row for each arm. Beside the pages left is the share of them that is left with both sweeps."""
    title = f"{MIX.name}, postcopy after round {AFTER}, downtime limit {DOWNTIME_LIMIT_MS} ms: median (range)"
    table = titled_table(title, HEADS, left=("arm",))
    by_arm = {arm.name: [run for run in runs if run.job.arm == arm.name] for arm in ARMS}
    swept = _left_pages(by_arm[SWEPT])
    for name, group in by_arm.items():
        left = _left_pages(group)
        table.add_row(
            name,
            f"{len(left)} of {len(group)}",
            spread(left, 0),
            f"{median(swept) / median(left):.2f}" if swept and left and name != SWEPT and median(left) else "",
            spread([run.requests for run in group], 0),
            spread([run.postcopy_bytes / 1e6 for run in group], 1),
            spread([run.swept_pages for run in group], 0),
            spread([run.total_seconds for run in group], 2),
            spread([run.downtime_ms for run in group], 0),
            spread([run.blackout_ms for run in group], 0),
        )
    yield table


def _left_pages(runs: Sequence[HybridRun]) -> list[int]:
    """The pages that were left to postcopy, in the runs that reached it."""
    return [run.left_pages for run in runs if run.left_pages is not None]

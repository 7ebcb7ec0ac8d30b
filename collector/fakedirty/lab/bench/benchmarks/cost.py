"""The benchmark of the cost of a page: each arm, and the paired differences between arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from fakedirty.lab.bench.cost import ARMS, COMPARED, CostJob, CostRun, cost_bench, cost_jobs
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import interval, paired_differences, spread
from .titled_table import titled_table

ARM_HEADS = ("arm", "seconds", "pages", "ns of CPU a page", "million pages a CPU second")
PAIR_HEADS = ("compared", "pairs", "seconds", "CPU of the threads")


def cost_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of the CPU time for a page, without the patch series and in each mode."""
    guest, qemu, unpatched = build_guest("baremetal"), options.qemu_path(), options.unpatched_path()
    arms = [arm for arm in ARMS if not options.arms or arm.name in options.arms]
    return Benchmark(
        settings={
            "benchmark": "cost",
            "qemu": qemu_facts(qemu),
            "unpatched": qemu_facts(unpatched),
            "guest": guest.directory.name,
            "seed": options.seed,
        },
        jobs=list(cost_jobs(options.repetitions, options.seed, arms)),
        measuring=lambda: cost_bench(qemu, unpatched, guest, arms),
        run_type=CostRun,
        job_type=CostJob,
        line=cost_line,
        tables=cost_tables,
        most_seconds=5.0,
    )


def cost_line(run: CostRun) -> str:
    """One migration on one line."""
    page = f"{run.thread_ns_per_page:,.0f} ns of CPU a page"
    return f"{run.job.arm}: {run.pages:,} pages in {run.pass_seconds:.2f} s, {page}"


def cost_tables(runs: Sequence[CostRun]) -> Iterator[Table]:
    """The arms that were measured, and the differences of off to unpatched, and of observe and skip to off."""
    table = titled_table("by arm: median (range)", ARM_HEADS, left=("arm",))
    for arm in ARMS:
        if group := [run for run in runs if run.job.arm == arm.name]:
            table.add_row(
                arm.name,
                spread([run.pass_seconds for run in group], 3),
                spread([run.pages for run in group], 0),
                spread([run.thread_ns_per_page for run in group], 0),
                spread([1000 / run.thread_ns_per_page for run in group], 2),
            )
    yield table
    table = titled_table("paired differences: median, 95 % interval", PAIR_HEADS, left=("compared",))
    for base, other in COMPARED:
        seconds, cpu = (
            paired_differences(runs, base, other, field) for field in ("pass_seconds", "thread_ns_per_page")
        )
        if seconds:
            table.add_row(f"{other} over {base}", str(len(seconds)), interval(seconds), interval(cpu))
    yield table

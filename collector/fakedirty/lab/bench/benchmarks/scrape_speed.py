"""The benchmark of a scrape of the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from rich.table import Table

from fakedirty.lab.bench.scrape_speed import NEWS, ROUNDS, WAYS, ScrapeJob, ScrapeSpeed, measure_scrapes, scrape_jobs

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import spread
from .titled_table import titled_table


def scrape_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of a scrape of many VMs, in the exporter and over HTTP."""
    return Benchmark(
        settings={"benchmark": "scrape", "rounds": ROUNDS},
        jobs=list(scrape_jobs(options.repetitions)),
        measuring=lambda: nullcontext(measure_scrapes),
        run_type=ScrapeSpeed,
        job_type=ScrapeJob,
        line=scrape_line,
        tables=scrape_tables,
        most_seconds=10.0,
    )


def scrape_line(run: ScrapeSpeed) -> str:
    """One run on one line."""
    slowest = max(run.first_ms, *(each for by_way in run.ms.values() for each in by_way.values()))
    return f"{run.job.vms} VMs, {run.series:,} series: {slowest:.1f} ms at most"


def scrape_tables(runs: Sequence[ScrapeSpeed]) -> Iterator[Table]:
    """By number of VMs: the size of a scrape, and the time of each way."""
    by_vms = {vms: [run for run in runs if run.job.vms == vms] for vms in sorted({run.job.vms for run in runs})}
    heads = ("VMs", "series", *(f"MB {way}" for way in WAYS), "us for a round")
    table = titled_table("size of a scrape", heads)
    for vms, group in by_vms.items():
        table.add_row(
            str(vms),
            spread([group[0].series], 0),
            *(spread([run.bytes[way] / 1e6 for run in group][:1], 2) for way in WAYS),
            spread([run.round_us for run in group], 0),
        )
    yield table
    since = "since the last scrape"
    table = titled_table("ms of a scrape: median (range)", ("VMs", since, *WAYS), left=(since,))
    for vms, group in by_vms.items():
        table.add_row(str(vms), "it is the first", "", spread([run.first_ms for run in group], 1), "", "")
        for news in NEWS:
            table.add_row(str(vms), news, *(spread([run.ms[news][way] for run in group], 1) for way in WAYS))
    yield table

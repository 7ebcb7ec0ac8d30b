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
    return f"{run.job.vms} VMs, {run.job.migrating} migrate, {run.series:,} series: {slowest:.1f} ms at most"


def scrape_tables(runs: Sequence[ScrapeSpeed]) -> Iterator[Table]:
    """By host: the size of a scrape, its effect on the observer, and the time of each way."""
    by_host: dict[tuple[str, ...], list[ScrapeSpeed]] = {}
    for run in sorted(runs, key=lambda run: (run.job.vms, run.job.migrated)):
        by_host.setdefault((str(run.job.vms), str(run.job.migrating), str(run.job.migrated)), []).append(run)
    host_heads = ("VMs", "migrate", "migrated before")
    heads = (*host_heads, "series", *(f"MB {way}" for way in WAYS), "us for a round", "ms late, at most")
    table = titled_table("size of a scrape, and its effect on the observer", heads)
    for host, group in by_host.items():
        table.add_row(
            *host,
            spread([group[0].series], 0),
            *(spread([run.bytes[way] / 1e6 for run in group][:1], 2) for way in WAYS),
            spread([run.round_us for run in group], 0),
            spread([run.late_ms for run in group], 1),
        )
    yield table
    since = "since the last scrape"
    table = titled_table("ms of a scrape: median (range)", (*host_heads, since, *WAYS), left=(since,))
    for host, group in by_host.items():
        table.add_row(*host, "it is the first", "", spread([run.first_ms for run in group], 1), "", "")
        for news in NEWS:
            table.add_row(*host, news, *(spread([run.ms[news][way] for run in group], 1) for way in WAYS))
    yield table

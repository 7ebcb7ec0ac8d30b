"""The scrape benchmark: every way is measured, stored and shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmark_tables import shown
from fakedirty.export.tracked_migration import ROUNDS_SHOWN
from fakedirty.lab.bench.benchmarks.results import Results
from fakedirty.lab.bench.benchmarks.scrape_speed import scrape_line, scrape_tables
from fakedirty.lab.bench.scrape_speed import (
    NEWS,
    ROUNDS,
    VMS,
    WAYS,
    ScrapeJob,
    ScrapeSpeed,
    measure_scrapes,
    scrape_jobs,
)


def test_scrapes_are_measured_in_every_way(tmp_path: Path) -> None:
    assert Counter(scrape_jobs(2)) == Counter(ScrapeJob(number, vms) for number in (1, 2) for vms in VMS)
    run = measure_scrapes(ScrapeJob(1, 2))
    assert list(run.ms) == list(NEWS)
    for by_way in (*run.ms.values(), run.bytes):
        assert list(by_way) == list(WAYS)
        assert all(value > 0 for value in by_way.values())
    assert run.series > 2 * 13 * min(ROUNDS, ROUNDS_SHOWN)
    assert "2 VMs" in scrape_line(run)
    Results(tmp_path, {}, {}, ScrapeSpeed, ScrapeJob).add(run.job, run)
    assert Results(tmp_path, {}, {}, ScrapeSpeed, ScrapeJob).runs == {run.job: run}
    text = "\n".join(shown(scrape_tables([run])))
    assert all(news in text for news in NEWS)

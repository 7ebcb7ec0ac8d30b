"""The overhead benchmark: pairs of an observed and an unobserved pass of two guests."""

from __future__ import annotations

import pytest
from benchmark_tables import shown
from fakedirty.lab.bench.benchmarks.overhead import overhead_tables
from fakedirty.lab.bench.full_speed import TimeSpent
from fakedirty.lab.bench.overhead import ARMS, ObservedPasses, OverheadJob, combine, overhead_jobs


def test_an_observed_pass_is_compared_with_an_unobserved_one_in_the_same_mode() -> None:
    """A 10 ms longer pass of a million pages, half of it on the CPU: 5 ns a page."""
    drawn = list(overhead_jobs(3, seed=3))
    assert len(set(drawn)) == len(drawn) == 3 * sum(arm.turns for arm in ARMS)
    passes = [(TimeSpent(1.01, 0.505, 1_000_000), TimeSpent(1.0, 0.5, 1_000_000))] * 3
    guests = [ObservedPasses(passes, [0.25] * 3, 100 << 20, 1 << 20, 1)] * 2
    lines = shown(overhead_tables([combine(job, guests) for job in drawn]))
    migration, collector = [line for line in lines if " patched, pages " in line]
    assert " 12 " in migration
    assert migration.count("+1.00% (+1.00% to +1.00%)") == 2
    assert "+5 (+5 to +5)" in migration
    assert "+0.02% (+0.02% to +0.02%)" in migration
    assert "4,000,000" in collector
    assert "100 (100-100)" in collector
    assert " 24 " in collector


def test_a_difference_between_the_guests_cancels_out() -> None:
    slow, fast = TimeSpent(1.2, 0.6, 1000), TimeSpent(1.0, 0.5, 1000)
    guests = [ObservedPasses([pair] * 3, [0.1], 1, 0, 0) for pair in ((slow, fast), (fast, slow))]
    run = combine(OverheadJob(1, "patched", 1), guests)
    assert run.time_share == pytest.approx(0)
    assert run.thread_share == pytest.approx(0)
    assert run.added_ns == pytest.approx(0)

"""The hybrid benchmark: its arms, its events, and its table."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmark_tables import shown
from fakedirty.errors import LabError
from fakedirty.lab.bench.benchmarks.hybrid import hybrid_line, hybrid_tables
from fakedirty.lab.bench.hybrid import ARMS, SWEPT, UNSWEPT, HybridJob, HybridRun, hybrid_jobs, last_event_seconds


def run_of(arm: str, left: int | None, requests: int = 0, *, right: bool = True) -> HybridRun:
    return HybridRun(
        HybridJob(1, arm),
        total_seconds=3.0,
        downtime_ms=20,
        blackout_ms=31.0,
        rounds=3,
        left_pages=left,
        requests=requests,
        postcopy_bytes=10_000_000,
        swept_pages=50_000 if arm == SWEPT else 0,
        memory_right=right,
    )


def test_the_pages_left_to_postcopy_are_compared_with_both_sweeps() -> None:
    runs = [run_of("off", 66_000, 900), run_of(UNSWEPT, 60_000, 800), run_of(SWEPT, 6_000, 90), run_of(SWEPT, None)]
    lines = shown(hybrid_tables(runs))
    [off] = [line for line in lines if "│ off " in line]
    [unswept] = [line for line in lines if f"│ {UNSWEPT} " in line]
    [swept] = [line for line in lines if f"│ {SWEPT} " in line]
    assert " 0.09 " in off
    assert " 0.10 " in unswept
    assert " 1 of 2 " in swept
    assert "6,000" in swept
    assert "no postcopy" in hybrid_line(runs[3])
    assert "NOT RIGHT" in hybrid_line(run_of("off", 1, right=False))


def test_every_arm_comes_once_in_a_repetition_and_begins_postcopy_after_round_2() -> None:
    names = [arm.name for arm in ARMS]
    assert Counter(hybrid_jobs(3, 5)) == Counter(HybridJob(number, name) for number in (1, 2, 3) for name in names)
    assert list(hybrid_jobs(3, 5)) != list(hybrid_jobs(3, 6))
    for arm in ARMS:
        assert [step.after_round for step in arm.steps] == [2]
        assert arm.capabilities == {"postcopy-ram": True}
    assert [arm.parameters for arm in ARMS] == [{}, {"fake-dirty-sweep": False}, {"fake-dirty-sweep": True}]


def test_the_time_of_an_event_is_that_of_the_last_one_of_its_name() -> None:
    def event(name: str, seconds: int, microseconds: int) -> dict[str, object]:
        return {"event": name, "timestamp": {"seconds": seconds, "microseconds": microseconds}}

    events = [event("STOP", 5, 0), event("RESUME", 6, 0), event("STOP", 7, 250_000), event("MIGRATION", 8, 0)]
    assert last_event_seconds(events, "STOP") == 7.25
    with pytest.raises(LabError, match="no event SHUTDOWN"):
        last_event_seconds(events, "SHUTDOWN")

"""Metrics of what is recommended: there while the plan in force does not end, and read once for each round."""

from __future__ import annotations

import re

import pytest
from fakedirty.export.exporter import Exporter
from fakedirty.model import prediction
from fakedirty.model.enums import Mode
from fakedirty.model.events import LimitsRead, ModeChanged, RoundEnded
from fakedirty.model.migration import Migration
from made_migrations import SECOND, START, made
from metrics_text import exported
from played_guests import Guest, played

SILENT = Guest(65_000, changed=0.08)
SLOW = Guest(16_000_000, changed=0.1, sweep=100.0)


def went(guest: Guest, rounds: int, skip_after: int | None = None) -> tuple[Migration, Exporter]:
    """A migration of a played guest, as it is observed."""
    migration, exporter = made(), Exporter()
    exporter.started(migration)
    migration.apply(LimitsRead(START, 300))
    for each in played(guest, rounds, skip_after=skip_after)[0]:
        migration.apply(RoundEnded(START + round((each.start_seconds + each.duration_seconds) * SECOND), each))
    return migration, exporter


def value(text: str, name: str, plan: str, estimate: str) -> float | None:
    """One sample; None if it is not exported."""
    labels = f'estimate="{estimate}",plan="{plan}",vm="vm"'
    found = re.search(rf"^fakedirty_recommended_{name}{{{labels}}} (\S+)$", text, re.M)
    return None if found is None else float(found[1])


def test_both_plans_are_exported_with_their_range() -> None:
    """65,000 pages in 300 ms are 887 MB/s; 5,200 changed ones, and 20 ms of hashing, 76 MB/s or 192 ms."""
    text = exported(went(SILENT, 4)[1])
    bandwidth, limit = "bandwidth_bytes_per_second", "downtime_limit_seconds"
    assert value(text, bandwidth, "as-is", "expected") == pytest.approx(887e6, rel=0.016)
    assert value(text, bandwidth, "skip", "expected") == pytest.approx(76e6, rel=0.016)
    assert value(text, limit, "as-is", "expected") == pytest.approx(2.15, rel=0.016)
    assert value(text, limit, "skip", "expected") == pytest.approx(0.192, rel=0.016)
    for name in (bandwidth, limit):
        low, high = (value(text, name, "as-is", estimate) for estimate in ("low", "high"))
        assert low is not None
        assert high is not None
        assert low < high
    assert "fakedirty_recommended_throttle_ratio{" not in text


def test_a_throttle_that_the_rounds_show() -> None:
    text = exported(went(SLOW, 3)[1])
    assert 0.81 < (value(text, "throttle_ratio", "as-is", "expected") or 0) < 0.84
    assert value(text, "throttle_ratio", "as-is", "high") is None
    assert value(text, "throttle_ratio", "skip", "expected") is None, "with skip it ends"


@pytest.mark.parametrize(("guest", "rounds", "skip_after"), [(SILENT, 1, None), (SILENT, 5, 2)], ids=["one", "skip"])
def test_nothing_before_there_is_a_verdict_nor_where_it_ends(guest: Guest, rounds: int, skip_after: int | None) -> None:
    assert "fakedirty_recommended_bandwidth_bytes_per_second{" not in exported(went(guest, rounds, skip_after)[1])


def test_a_scrape_searches_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Best, expected and worst of both plans; and again when the limit has changed, but not for a toggle."""
    calls = []
    find = prediction.least_bandwidth

    def counted(*given: object) -> float | None:
        calls.append(given)
        return find(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(prediction, "least_bandwidth", counted)
    migration, exporter = went(SILENT, 4)
    assert not calls
    for _ in range(3):
        exported(exporter)
        assert len(calls) == 6
    migration.apply(ModeChanged(START + 99 * SECOND, 5, Mode.OBSERVE, Mode.SKIP, "xxh3-64"))
    exported(exporter)
    assert len(calls) == 6
    migration.apply(LimitsRead(START + 99 * SECOND, 400))
    exported(exporter)
    assert len(calls) == 12

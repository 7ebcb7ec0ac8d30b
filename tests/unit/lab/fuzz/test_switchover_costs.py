"""Expected and real costs of switchovers, and their histograms."""

from __future__ import annotations

from typing import Any

import pytest
from fakedirty.lab.fuzz.switchover_costs import SwitchoverCost, SwitchoverHistograms, bins


def final(**more: int) -> dict[str, Any]:
    """``query-migrate`` of a switchover of 100 pages in 10 ms, as expected."""
    switchover = {"expected-pages": 100, "expected-time": 10_000_000, "pages": 100, "time": 10_000_000, **more}
    return {"status": "completed", "switchover": switchover}


def cost_of(*, still: bool = True, **more: int) -> SwitchoverCost:
    cost = SwitchoverCost.of(final(**more), still=still, limit_ms=10)
    assert cost is not None
    return cost


def test_it_is_read_from_query_migrate() -> None:
    assert cost_of(pages=90, time=5_000_000) == SwitchoverCost(True, 100, 90, 0.01, 0.005, 0.01)


def test_a_bandwidth_that_was_not_known_makes_no_expectation() -> None:
    unknown = final()
    del unknown["switchover"]["expected-time"]
    cost = SwitchoverCost.of(unknown, still=True, limit_ms=10)
    assert cost is not None
    assert cost.expected_seconds is None
    assert cost_of(**{"expected-time": 0}).expected_seconds is None  # of an earlier series


def test_there_is_none_without_a_switchover_or_where_qemu_does_not_report_it() -> None:
    assert SwitchoverCost.of({"status": "completed"}, still=True, limit_ms=10) is None
    decided = final()
    del decided["switchover"]["pages"], decided["switchover"]["time"]
    assert SwitchoverCost.of(decided, still=True, limit_ms=10) is None


@pytest.mark.parametrize(
    ("pages", "bin_"),
    [(0, "≤ 0.5"), (50, "≤ 0.5"), (51, "≤ 0.8"), (100, "≤ 1"), (101, "≤ 1.2"), (121, "≤ 2"), (1001, "> 10")],
)
def test_a_ratio_has_its_bin(pages: int, bin_: str) -> None:
    rows = SwitchoverHistograms([cost_of(pages=pages)]).rows()
    assert rows["stood still, pages"] == {name: int(name == bin_) for name in bins()}
    assert rows["stood still, time"]["≤ 1"] == rows["stood still, time of a limit < 100 ms"]["≤ 1"] == 1


def test_a_guest_that_ran_is_counted_apart() -> None:
    rows = SwitchoverHistograms([cost_of(), cost_of(still=False, pages=500)]).rows()
    assert rows["stood still, pages"]["≤ 1"] == 1
    assert rows["ran, pages"]["≤ 10"] == 1
    assert sum(rows["stood still, pages"].values()) == sum(rows["ran, pages"].values()) == 1


def test_there_is_no_ratio_where_nothing_was_expected() -> None:
    rows = SwitchoverHistograms([cost_of(**{"expected-pages": 0, "expected-time": 0})]).rows()
    assert {name: sum(row.values()) for name, row in rows.items() if any(row.values())} == {
        "stood still, time of a limit < 100 ms": 1
    }


def test_a_migration_that_was_let_through_is_held_against_no_limit() -> None:
    let_through = SwitchoverCost.of(final(), still=False, limit_ms=None)
    assert let_through is not None
    rows = SwitchoverHistograms([let_through]).rows()
    assert rows["ran, pages"]["≤ 1"] == 1
    assert not any(rows["ran, time of a limit < 100 ms"].values())


@pytest.mark.parametrize(
    ("limit_ms", "milliseconds", "timed", "late"),
    [(99, 500, False, False), (100, 120, True, False), (100, 121, True, True), (None, 500, False, False)],
)
def test_a_switchover_is_late_by_a_limit_that_no_hiccup_of_the_machine_exceeds(
    limit_ms: int | None, milliseconds: int, timed: bool, late: bool
) -> None:
    cost = SwitchoverCost.of(final(time=milliseconds * 1_000_000), still=False, limit_ms=limit_ms)
    assert cost is not None
    assert (cost.timed, cost.late) == (timed, late)
    rows = SwitchoverHistograms([cost]).rows()
    assert sum(rows["ran, time of a limit ≥ 100 ms"].values()) == timed


def test_the_downtime_is_as_qemu_reports_it() -> None:
    cost = SwitchoverCost.of({**final(), "downtime": 130}, still=False, limit_ms=100)
    assert cost is not None
    assert cost.downtime_seconds == 0.13

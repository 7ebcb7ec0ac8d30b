"""Routes and faults of fuzzed migrations, and that no plan has a combination that QEMU refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.lab.fuzz.coverage import BULK, Coverage
from fakedirty.lab.fuzz.fuzz_run import FuzzRun
from fakedirty.lab.fuzz.plan_run import migration_settings
from fakedirty.lab.fuzz.plans import draw_route
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.draw_route import SLOW_POSTCOPY
from fakedirty.lab.fuzz.plans.faults import (
    ALL_CHANNELS,
    DISK_FULL,
    FAULTS,
    KILLED,
    KILLED_IN_POSTCOPY,
    KILLED_IN_STOP,
    LINK_IN_POSTCOPY,
    ONE_CHANNEL,
    POSTCOPY_FAULTS,
)
from fakedirty.lab.fuzz.plans.multifd import COMPRESSIONS
from fakedirty.lab.fuzz.plans.plan import Plan
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.lab.fuzz.plans.route import (
    DIRECT,
    FILE,
    LIMITS_MS,
    POSTCOPY,
    PREEMPT,
    SWEPT,
    UNSWEPT,
    WITH_MULTIFD,
    FileRoute,
    HybridRoute,
)
from fakedirty.lab.fuzz.report import possibilities_lines, summary_lines
from fakedirty.lab.fuzz.result import FuzzResult
from fakedirty.lab.migrate import PAUSED
from fakedirty.lab.migrate import POSTCOPY as ACTIVE
from fakedirty.qmp.parameters import SWEEP

WITHOUT = Possibilities(("xxh3-64", "sha1"), audit=True, refuses_late=True)
WITH = replace(WITHOUT, compressions=COMPRESSIONS, routes=(FILE, DIRECT, POSTCOPY, PREEMPT))
PLANS = [draw_plan(11, index, WITH) for index in range(300)]
FILES = [plan for plan in PLANS if isinstance(plan.route, FileRoute)]
HYBRIDS = [plan for plan in PLANS if isinstance(plan.route, HybridRoute)]
FAULTY = [(plan, attempt, attempt.fault) for plan in PLANS for attempt in plan.attempts if attempt.fault]


def test_each_route_is_drawn_and_most_often_a_connection() -> None:
    routes = Counter(type(plan.route).__name__ for plan in PLANS)
    assert routes["NoneType"] > routes["FileRoute"] > 40
    assert routes["HybridRoute"] > 30
    assert {(plan.multifd is not None, plan.route.direct) for plan in FILES if isinstance(plan.route, FileRoute)} == {
        (False, False),
        (True, False),
        (True, True),
    }
    drawn = {(plan.route.preempt, plan.route.sweep) for plan in HYBRIDS if isinstance(plan.route, HybridRoute)}
    assert len(drawn) == 4
    assert {plan.downtime_limit_ms for plan in HYBRIDS} == set(LIMITS_MS)


@pytest.mark.parametrize("plan", FILES[:20], ids=lambda plan: str(plan.index))
def test_qemu_allows_what_is_drawn_with_a_file(plan: Plan) -> None:
    assert not plan.capabilities["xbzrle"]
    assert plan.multifd is None or plan.multifd.compression == "none"
    assert plan.link_bits is None, "there is no link"
    assert not any(attempt.postcopy for attempt in plan.attempts)
    assert {attempt.fault.how for attempt in plan.attempts if attempt.fault} <= {DISK_FULL}
    settings = migration_settings(plan, Path("/guest"))
    assert settings.file == Path("/guest")
    assert settings.capabilities["mapped-ram"] is True
    assert "postcopy-ram" not in settings.capabilities


@pytest.mark.parametrize("plan", HYBRIDS[:20], ids=lambda plan: str(plan.index))
def test_postcopy_begins_after_some_pre_copy_in_the_last_attempt(plan: Plan) -> None:
    assert plan.multifd is None
    *earlier, last = plan.attempts
    assert last.postcopy is not None
    assert last.guest_stop is None
    assert last.postcopy.after_round is None or last.postcopy.after_round > 0
    assert 0.5 < (last.postcopy.after_seconds or 0) < last.seconds
    for attempt in earlier:
        if attempt.postcopy:
            end = attempt.cancel or (attempt.fault and attempt.fault.moment)
            assert end is not None
            assert end.in_state == PAUSED
            assert plan.capabilities["pause-before-switchover"]
    settings = migration_settings(plan, Path("/guest"))
    assert settings.file is None
    assert settings.capabilities["postcopy-ram"] is True
    assert SWEEP in settings.parameters


def test_every_fault_is_drawn_and_one_channel_breaks_only_with_multifd() -> None:
    assert {fault.how for _plan, _attempt, fault in FAULTY} == set(FAULTS)
    assert all(plan.multifd for plan, _attempt, fault in FAULTY if fault.how == ONE_CHANNEL)
    assert any(not plan.multifd for plan, _attempt, fault in FAULTY if fault.how in (ALL_CHANNELS, KILLED))
    assert all(isinstance(plan.route, FileRoute) == (fault.how == DISK_FULL) for plan, _attempt, fault in FAULTY)
    in_postcopy = (LINK_IN_POSTCOPY, KILLED_IN_POSTCOPY)
    earlier = [(plan, attempt, fault) for plan, attempt, fault in FAULTY if fault.how not in in_postcopy]
    assert all(attempt.cancel is None and attempt is not plan.attempts[-1] for plan, attempt, _fault in earlier)
    assert {fault.moment.in_state for _plan, _attempt, fault in earlier} == {None, PAUSED}


def test_a_postcopy_with_a_fault_is_slow_enough_for_it() -> None:
    faulty = [plan for plan in HYBRIDS if plan.attempts[-1].fault]
    assert 0 < len(faulty) < len(HYBRIDS)
    for plan in HYBRIDS:
        last = plan.attempts[-1].fault
        assert last is None or (last.how in (LINK_IN_POSTCOPY, KILLED_IN_POSTCOPY) and last.moment.in_state == ACTIVE)
        assert ("max-postcopy-bandwidth" in plan.parameters) == (last is not None)


def test_destinations_are_killed_in_postcopy_and_in_the_stop_before_it() -> None:
    last = [plan for plan in HYBRIDS if (fault := plan.attempts[-1].fault) and fault.how == KILLED_IN_POSTCOPY]
    in_stop = [(plan, attempt) for plan, attempt, fault in FAULTY if fault.how == KILLED_IN_STOP]
    assert 0 < len(last) < len(HYBRIDS) / 2
    assert in_stop
    assert len({plan.attempts[-1].fault for plan in last}) == len(last), "each at another moment"
    for plan, attempt in in_stop:
        assert isinstance(plan.route, HybridRoute)
        assert plan.capabilities["pause-before-switchover"], "the stop can be met at the pause"
        assert attempt is not plan.attempts[-1], "the guest runs on at the source"
        assert attempt.postcopy is not None
        assert attempt.cancel is None
    assert {plan.index for plan in PLANS if plan.has_large_device_state} == {plan.index for plan, _attempt in in_stop}


def test_kills_in_postcopy_change_nothing_else_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the killed attempts differ, and the bandwidth of their postcopy."""
    monkeypatch.setattr(draw_route, "KILLED_SHARE", 0)
    monkeypatch.setattr(draw_route, "KILLED_IN_STOP_SHARE", 0)
    killed = 0
    for plan in PLANS:
        without = draw_plan(11, plan.index, WITH)
        assert replace(plan, attempts=(), parameters={}) == replace(without, attempts=(), parameters={})
        assert {**plan.parameters, **SLOW_POSTCOPY} == {**without.parameters, **SLOW_POSTCOPY}
        for ours, theirs in zip(plan.attempts, without.attempts, strict=True):
            if ours != theirs:
                killed += 1
                assert ours.fault
                assert ours.fault.how in (KILLED_IN_STOP, KILLED_IN_POSTCOPY)
                other = {"fault": ours.fault, "cancel": ours.cancel, "postcopy": ours.postcopy}
                assert replace(theirs, **other) == ours
    assert killed


def test_postcopy_is_drawn_with_multifd_if_qemu_accepts_both() -> None:
    both = replace(WITH, routes=(*WITH.routes, WITH_MULTIFD))
    plans = [draw_plan(11, index, both) for index in range(100)]
    drawn = [plan for plan in plans if isinstance(plan.route, HybridRoute)]
    assert {plan.multifd is None for plan in drawn} == {True, False}
    assert WITH_MULTIFD in Coverage(both).features
    assert WITH_MULTIFD not in Coverage(WITH).features
    assert WITH_MULTIFD in HybridRoute(preempt=False, sweep=True).postcopy_features(1, multifd=True)


def test_what_qemu_refuses_is_in_no_plan_and_no_row() -> None:
    assert all(draw_plan(11, index, WITHOUT).route is None for index in range(50))
    assert not {FILE, POSTCOPY, *FAULTS} & set(Coverage(WITHOUT).features)
    earlier_series = set(Coverage(replace(WITH, compressions=())).features)
    assert earlier_series & set(POSTCOPY_FAULTS) == {LINK_IN_POSTCOPY}
    assert {FILE, DIRECT, POSTCOPY, PREEMPT, SWEPT, UNSWEPT, *FAULTS} <= set(Coverage(WITH).features)
    without_direct = replace(WITH, routes=(FILE, POSTCOPY))
    drawn = [draw_plan(11, index, without_direct).route for index in range(100)]
    assert not any(isinstance(route, FileRoute) and route.direct for route in drawn)
    assert not any(isinstance(route, HybridRoute) and route.preempt for route in drawn)
    assert any(isinstance(route, FileRoute) for route in drawn)


def test_the_features_of_postcopy() -> None:
    assert HybridRoute(preempt=True, sweep=True).postcopy_features(0, multifd=False) == (POSTCOPY, PREEMPT, UNSWEPT)
    assert HybridRoute(preempt=False, sweep=True).postcopy_features(7, multifd=False) == (POSTCOPY, SWEPT)


def test_forbidden_combinations_are_printed_by_name() -> None:
    text = "\n".join(possibilities_lines(WITH))
    assert "xbzrle with multifd" in text
    assert "mapped-ram with postcopy" in text
    assert "never together" not in "\n".join(possibilities_lines(WITHOUT))


def test_the_summary_counts_files_postcopy_and_faults() -> None:
    results = [
        FuzzResult(FILES[0]),
        FuzzResult(HYBRIDS[0], postcopy_pages=1234, faults=[(KILLED, BULK), (KILLED, BULK)]),
        FuzzResult(HYBRIDS[1]),
    ]
    lines = summary_lines(FuzzRun(Path("qemu"), 11, WITH, results=results))
    assert "saved into a file and restored: 1" in lines
    assert "left to postcopy: 1, with 1,234 pages" in lines
    assert "destination killed: 2 in the bulk round" in lines

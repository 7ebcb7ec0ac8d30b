"""By which way fuzzed migrations go, what breaks in them, and that nothing is drawn together that QEMU refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.cli.fuzz import drawn_from, summary
from fakedirty.lab.fuzz import draw_route
from fakedirty.lab.fuzz.coverage import BULK, Coverage
from fakedirty.lab.fuzz.draw import draw
from fakedirty.lab.fuzz.draw_route import CREEPING
from fakedirty.lab.fuzz.faults import (
    ALL,
    BREAKS,
    FULL,
    IN_POSTCOPY,
    KILLED,
    KILLED_IN_POSTCOPY,
    KILLED_IN_STOP,
    OF_POSTCOPY,
    ONE,
)
from fakedirty.lab.fuzz.multifd import COMPRESSIONS
from fakedirty.lab.fuzz.plan import Plan, Possibilities
from fakedirty.lab.fuzz.route import (
    DIRECT,
    FILE,
    LIMITS_MS,
    POSTCOPY,
    PREEMPT,
    SWEEP_PARAMETER,
    SWEPT,
    UNSWEPT,
    WITH_MULTIFD,
    FileRoute,
    HybridRoute,
)
from fakedirty.lab.fuzz.run import FuzzResult, _settings
from fakedirty.lab.migrate import PAUSED
from fakedirty.lab.migrate import POSTCOPY as ACTIVE

WITHOUT = Possibilities(("xxh3-64", "sha1"), audit=True, decides=True)
WITH = replace(WITHOUT, compressions=COMPRESSIONS, ways=(FILE, DIRECT, POSTCOPY, PREEMPT))
PLANS = [draw(11, index, WITH) for index in range(300)]
FILES = [plan for plan in PLANS if isinstance(plan.way, FileRoute)]
HYBRIDS = [plan for plan in PLANS if isinstance(plan.way, HybridRoute)]
BROKEN = [(plan, attempt, attempt.broken) for plan in PLANS for attempt in plan.attempts if attempt.broken]


def test_each_way_is_drawn_and_most_go_over_a_connection() -> None:
    ways = Counter(type(plan.way).__name__ for plan in PLANS)
    assert ways["NoneType"] > ways["File"] > 40
    assert ways["Hybrid"] > 30
    assert {(plan.multifd is not None, plan.way.direct) for plan in FILES if isinstance(plan.way, FileRoute)} == {
        (False, False),
        (True, False),
        (True, True),
    }
    drawn = {(plan.way.preempt, plan.way.sweep) for plan in HYBRIDS if isinstance(plan.way, HybridRoute)}
    assert len(drawn) == 4
    assert {plan.downtime_limit_ms for plan in HYBRIDS} == set(LIMITS_MS)


@pytest.mark.parametrize("plan", FILES[:20], ids=lambda plan: str(plan.index))
def test_a_file_goes_with_what_qemu_allows(plan: Plan) -> None:
    assert not plan.capabilities["xbzrle"]
    assert plan.multifd is None or plan.multifd.compression == "none"
    assert plan.link_bits is None, "there is no link"
    assert not any(attempt.postcopy for attempt in plan.attempts)
    assert {attempt.broken.how for attempt in plan.attempts if attempt.broken} <= {FULL}
    settings = _settings(plan, Path("/guest"))
    assert settings.file == Path("/guest")
    assert settings.capabilities["mapped-ram"] is True
    assert "postcopy-ram" not in settings.capabilities


@pytest.mark.parametrize("plan", HYBRIDS[:20], ids=lambda plan: str(plan.index))
def test_postcopy_begins_after_some_pre_copy_and_only_where_there_is_no_way_back(plan: Plan) -> None:
    assert plan.multifd is None
    *earlier, last = plan.attempts
    assert last.postcopy is not None
    assert last.still is None
    assert last.postcopy.after_round is None or last.postcopy.after_round > 0
    assert 0.5 < (last.postcopy.after_seconds or 0) < last.seconds
    for attempt in earlier:
        if attempt.postcopy:
            end = attempt.cancel or (attempt.broken and attempt.broken.moment)
            assert end is not None
            assert end.in_state == PAUSED
            assert plan.capabilities["pause-before-switchover"]
    settings = _settings(plan, Path("/guest"))
    assert settings.file is None
    assert settings.capabilities["postcopy-ram"] is True
    assert SWEEP_PARAMETER in settings.parameters


def test_breaks_are_of_every_kind_and_one_channel_only_of_several() -> None:
    assert {broken.how for _plan, _attempt, broken in BROKEN} == set(BREAKS)
    assert all(plan.multifd for plan, _attempt, broken in BROKEN if broken.how == ONE)
    assert any(not plan.multifd for plan, _attempt, broken in BROKEN if broken.how in (ALL, KILLED))
    assert all(isinstance(plan.way, FileRoute) == (broken.how == FULL) for plan, _attempt, broken in BROKEN)
    in_postcopy = (IN_POSTCOPY, KILLED_IN_POSTCOPY)
    earlier = [(plan, attempt, broken) for plan, attempt, broken in BROKEN if broken.how not in in_postcopy]
    assert all(attempt.cancel is None and attempt is not plan.attempts[-1] for plan, attempt, _broken in earlier)
    assert {broken.moment.in_state for _plan, _attempt, broken in earlier} == {None, PAUSED}


def test_the_link_breaks_in_postcopy_of_some_last_attempts_which_is_too_slow_to_be_over_before() -> None:
    broken = [plan for plan in HYBRIDS if plan.attempts[-1].broken]
    assert 0 < len(broken) < len(HYBRIDS)
    for plan in HYBRIDS:
        last = plan.attempts[-1].broken
        assert last is None or (last.how in (IN_POSTCOPY, KILLED_IN_POSTCOPY) and last.moment.in_state == ACTIVE)
        assert ("max-postcopy-bandwidth" in plan.parameters) == (last is not None)


def test_destinations_are_killed_in_postcopy_and_in_the_stop_before_it() -> None:
    last = [plan for plan in HYBRIDS if (broken := plan.attempts[-1].broken) and broken.how == KILLED_IN_POSTCOPY]
    in_stop = [(plan, attempt) for plan, attempt, broken in BROKEN if broken.how == KILLED_IN_STOP]
    assert 0 < len(last) < len(HYBRIDS) / 2
    assert in_stop
    assert len({plan.attempts[-1].broken for plan in last}) == len(last), "at another moment each"
    for plan, attempt in in_stop:
        assert isinstance(plan.way, HybridRoute)
        assert plan.capabilities["pause-before-switchover"], "by which the stop is met"
        assert attempt is not plan.attempts[-1], "the guest runs on at the source"
        assert attempt.postcopy is not None
        assert attempt.cancel is None
    assert {plan.index for plan in PLANS if plan.much_state} == {plan.index for plan, _attempt in in_stop}


def test_kills_in_postcopy_change_nothing_else_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of a seed is what it is without them, but for attempts that are broken so, and what slows these down."""
    monkeypatch.setattr(draw_route, "KILLED_SHARE", 0)
    monkeypatch.setattr(draw_route, "KILLED_IN_STOP_SHARE", 0)
    killed = 0
    for plan in PLANS:
        without = draw(11, plan.index, WITH)
        assert replace(plan, attempts=(), parameters={}) == replace(without, attempts=(), parameters={})
        assert {**plan.parameters, **CREEPING} == {**without.parameters, **CREEPING}
        for ours, theirs in zip(plan.attempts, without.attempts, strict=True):
            if ours != theirs:
                killed += 1
                assert ours.broken
                assert ours.broken.how in (KILLED_IN_STOP, KILLED_IN_POSTCOPY)
                other = {"broken": ours.broken, "cancel": ours.cancel, "postcopy": ours.postcopy}
                assert replace(theirs, **other) == ours
    assert killed


def test_postcopy_goes_with_multifd_where_qemu_takes_both() -> None:
    both = replace(WITH, ways=(*WITH.ways, WITH_MULTIFD))
    drawn = [plan for plan in (draw(11, index, both) for index in range(100)) if isinstance(plan.way, HybridRoute)]
    assert {plan.multifd is None for plan in drawn} == {True, False}
    assert WITH_MULTIFD in Coverage(both).features
    assert WITH_MULTIFD not in Coverage(WITH).features
    assert WITH_MULTIFD in HybridRoute(preempt=False, sweep=True).met(1, multifd=True)


def test_what_qemu_does_not_take_is_left_out_of_the_plan_and_of_the_table() -> None:
    assert all(draw(11, index, WITHOUT).way is None for index in range(50))
    assert not {FILE, POSTCOPY, *BREAKS} & set(Coverage(WITHOUT).features)
    unmended = set(Coverage(replace(WITH, compressions=())).features)
    assert unmended & set(OF_POSTCOPY) == {IN_POSTCOPY}
    assert {FILE, DIRECT, POSTCOPY, PREEMPT, SWEPT, UNSWEPT, *BREAKS} <= set(Coverage(WITH).features)
    without_direct = replace(WITH, ways=(FILE, POSTCOPY))
    drawn = [draw(11, index, without_direct).way for index in range(100)]
    assert not any(isinstance(way, FileRoute) and way.direct for way in drawn)
    assert not any(isinstance(way, HybridRoute) and way.preempt for way in drawn)
    assert any(isinstance(way, FileRoute) for way in drawn)


def test_what_was_met_by_postcopy_is_known_afterwards() -> None:
    assert HybridRoute(preempt=True, sweep=True).met(0, multifd=False) == (POSTCOPY, PREEMPT, UNSWEPT)
    assert HybridRoute(preempt=False, sweep=True).met(7, multifd=False) == (POSTCOPY, SWEPT)


def test_what_may_not_go_together_is_said_by_name() -> None:
    said = "\n".join(drawn_from(WITH))
    assert "xbzrle with multifd" in said
    assert "mapped-ram with postcopy" in said
    assert "never together" not in "\n".join(drawn_from(WITHOUT))


def test_the_summary_counts_files_postcopy_and_what_broke_when() -> None:
    done = [
        FuzzResult(FILES[0]),
        FuzzResult(HYBRIDS[0], postcopy=1234, breaks=[(KILLED, BULK), (KILLED, BULK)]),
        FuzzResult(HYBRIDS[1]),
    ]
    said = summary(done, Coverage(WITH))
    assert "saved into a file and restored: 1" in said
    assert "left to postcopy: 1, with 1,234 pages" in said
    assert "destination killed: 2 in the bulk round" in said

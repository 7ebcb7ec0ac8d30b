"""Plans of fuzzed migrations: the same seed and index give the same plan, and QEMU allows all that is in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, replace
from itertools import pairwise, permutations

import pytest
from fakedirty.lab.fuzz.plans.draw_attempt import AVAILABLE, LEAST_BANDWIDTH, NEVER_ENOUGH, OF_THE_LINK
from fakedirty.lab.fuzz.plans.draw_guest import most_mib
from fakedirty.lab.fuzz.plans.draw_plan import TIMED_SECONDS, draw_plan
from fakedirty.lab.fuzz.plans.draw_toggles import TOURS
from fakedirty.lab.fuzz.plans.memory_layouts import ARGUMENTS, ONE_BLOCK
from fakedirty.lab.fuzz.plans.multifd import COMPRESSIONS
from fakedirty.lab.fuzz.plans.plan import Plan
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.lab.fuzz.plans.route import DIRECT, FILE, POSTCOPY, PREEMPT
from fakedirty.lab.guests.workload import baremetal_words
from fakedirty.lab.migrate import PAUSED, UNLIMITED
from fakedirty.model.enums import Mode

ONE = Possibilities(("xxh3-64",))
MANY = Possibilities(
    ("xxh3-64", "sha1", "crc32"),
    ("tcg", "kvm"),
    {"fake-dirty-allow-weak-hash": True},
    audit=True,
    memories=tuple(ARGUMENTS),
)
DIGEST = "2afb256baf977db7db74987ca65486d3ee80dd9dc82b111a7dd420bb160f4ca8"
PLANS = [draw_plan(7, index, MANY) for index in range(200)]


def hashes(plan: Plan) -> set[str]:
    return {toggle.hash for attempt in plan.attempts for toggle in (*attempt.before, *attempt.toggles)}


def test_a_plan_is_drawn_again_the_same() -> None:
    assert [draw_plan(7, index, MANY) for index in range(200)] == PLANS
    assert draw_plan(7, 0, MANY) != draw_plan(7, 1, MANY) != draw_plan(8, 1, MANY)


def test_a_seed_draws_the_plans_of_the_published_results() -> None:
    """docs/results names migrations by seed and index. Another digest means that they cannot be run again."""
    routes = (FILE, DIRECT, POSTCOPY, PREEMPT)
    possibilities = replace(MANY, refuses_late=True, ring=True, compressions=COMPRESSIONS, routes=routes)
    digest = hashlib.sha256()
    for index in range(200):
        digest.update(json.dumps(astuple(draw_plan(1, index, possibilities)), sort_keys=True, default=str).encode())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("index", range(50))
def test_fewer_possibilities_change_no_other_draw(index: int) -> None:
    many, one = draw_plan(7, index, MANY), draw_plan(7, index, ONE)
    assert (one.workload, one.vcpus, one.bandwidth_bytes) == (many.workload, many.vcpus, many.bandwidth_bytes)
    assert len(one.attempts) == len(many.attempts)
    assert (one.accelerator, one.memory) == ("tcg", ONE_BLOCK)
    assert hashes(one) == {"xxh3-64"}
    for ours, theirs in zip(one.attempts, many.attempts, strict=True):
        assert replace(ours, before=(), toggles=()) == replace(theirs, before=(), toggles=())
        for toggle, other in zip(ours.toggles, theirs.toggles, strict=True):
            assert (toggle.mode, toggle.moment, toggle.hasty) == (other.mode, other.moment, other.hasty)
            assert toggle.audit is None


def test_fewer_vcpus_change_nothing_else() -> None:
    assert {plan.vcpus for plan in PLANS} == {1, 2, 3}
    for index, plan in enumerate(PLANS):
        assert draw_plan(7, index, replace(MANY, vcpus=2)) == replace(plan, vcpus=min(plan.vcpus, 2))


@pytest.mark.parametrize("plan", PLANS[:50], ids=lambda plan: str(plan.index))
def test_qemu_allows_the_plan(plan: Plan) -> None:
    work = plan.workload
    assert min(work.aba, work.zero, work.fake, work.changed) > 0
    assert baremetal_words(work), "the sets fit the memory"
    assert work.memory_mib <= most_mib()
    cache = plan.parameters["xbzrle-cache-size"]
    assert isinstance(cache, int)
    assert cache & (cache - 1) == 0
    assert plan.parameters["fake-dirty-allow-weak-hash"] is True
    assert [attempt.cancel is None for attempt in plan.attempts] == [False] * (len(plan.attempts) - 1) + [True]
    paused = [toggle for attempt in plan.attempts for toggle in attempt.toggles if toggle.moment.in_state == PAUSED]
    assert not paused or plan.capabilities["pause-before-switchover"]


def test_every_choice_is_drawn() -> None:
    assert {plan.vcpus for plan in PLANS} == {1, 2, 3}
    assert {plan.accelerator for plan in PLANS} == {"tcg", "kvm"}
    assert {plan.memory for plan in PLANS} == set(ARGUMENTS)
    assert {len(plan.attempts) for plan in PLANS} == {1, 2, 3}
    assert set.union(*map(hashes, PLANS)) == set(MANY.hashes)
    for name in PLANS[0].capabilities:
        assert {plan.capabilities[name] for plan in PLANS} == {True, False}, name
    toggles = [toggle for plan in PLANS for attempt in plan.attempts for toggle in attempt.toggles]
    assert {toggle.mode for toggle in toggles} == set(Mode)
    assert {toggle.audit for toggle in toggles} == {toggle.hasty for toggle in toggles} == {True, False}
    moments = {(toggle.moment.after_round is not None, toggle.moment.in_state is not None) for toggle in toggles}
    assert moments == {(False, False), (True, False), (False, True)}


@pytest.mark.parametrize("start", Mode)
def test_a_tour_makes_every_change_of_mode_once_and_ends_where_it_began(start: Mode) -> None:
    for tour in TOURS[start]:
        modes = [start, *tour]
        assert set(pairwise(modes)) == set(permutations(Mode, 2))
        assert len(tour) == 6
        assert tour[-1] is start


def test_a_sync_is_forced_if_a_round_lasts_from_one_fifth_second_to_the_next() -> None:
    slow = [
        (plan, change)
        for plan in PLANS
        for attempt in plan.attempts
        for change in attempt.changes
        if change.parameters.get("max-bandwidth") == LEAST_BANDWIDTH
    ]
    assert slow
    for plan, change in slow:
        assert plan.capabilities["auto-converge"]
        assert (change.moment.after_seconds or 0) < 5
        assert plan.attempts[-1].seconds > 10


def test_a_toggle_that_qemu_must_refuse_is_added() -> None:
    deciding = replace(MANY, refuses_late=True)
    paused = stopped = 0
    for plan in (draw_plan(7, index, deciding) for index in range(100)):
        stopped += bool(plan.attempts[-1].guest_stop)
        for attempt in plan.attempts:
            late = [toggle for toggle in attempt.toggles if toggle.moment.in_state == PAUSED]
            if attempt.guest_stop or not plan.capabilities["pause-before-switchover"]:
                assert late == []
                continue
            paused += 1
            (*_, last, too_late) = attempt.toggles
            assert late == [too_late]
            opens = attempt.seconds - (TIMED_SECONDS if plan.link_bits and not attempt.cancel else 0)
            assert opens > (last.moment.after_seconds or 0) > opens - 0.1, "the last one that QEMU adopts"
            assert too_late.mode is not last.mode
    assert paused
    assert stopped


def test_some_attempts_add_a_ram_block_with_a_name_of_its_own() -> None:
    attempts = [plan.attempts for plan in (draw_plan(7, index, Possibilities(("xxh3-64",))) for index in range(200))]
    named = [
        [
            str(change.parameters["id"])
            for attempt in each
            for change in attempt.changes
            if change.command == "object-add"
        ]
        for each in attempts
    ]
    assert 0.2 < sum(map(len, named)) / sum(map(len, attempts)) < 0.4
    assert all(len(set(ids)) == len(ids) for ids in named)


def test_some_migrations_may_end_by_themselves_within_a_limit_that_is_checked() -> None:
    timed = [plan for plan in PLANS if plan.link_bits]
    assert 20 <= len(timed) <= 60
    for plan in timed:
        attempt = plan.attempts[-1]
        assert plan.downtime_limit_ms >= 100
        assert (plan.bandwidth_bytes, attempt.guest_stop) == (UNLIMITED, None)
        (opened,) = [change for change in attempt.changes if AVAILABLE in change.parameters]
        assert opened.parameters == {AVAILABLE: OF_THE_LINK}
        assert plan.parameters[AVAILABLE] == NEVER_ENOUGH
        assert (opened.moment.after_seconds or 0) < attempt.seconds - 5
    assert all(plan.downtime_limit_ms < 100 for plan in PLANS if not plan.link_bits)

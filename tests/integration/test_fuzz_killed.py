"""A destination that is killed in postcopy, and one in the stop before it, in the first plans that have one."""

from __future__ import annotations

from itertools import count, islice

import pytest
from fakedirty.lab.fuzz.fault_injection import FAILED, STRANDED
from fakedirty.lab.fuzz.fuzz_run import fuzz
from fakedirty.lab.fuzz.plans.draw_attempt import AVAILABLE, NEVER_ENOUGH
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.faults import KILLED_IN_POSTCOPY, KILLED_IN_STOP
from fakedirty.lab.fuzz.plans.plan import Plan
from fakedirty.lab.fuzz.probe import find_possibilities
from fakedirty.lab.qemu import qemu_binary

SEED = 1231
FEW = 6
EARLY_SECONDS = 0.3  # before a migration is let through in pre-copy, for a loaded machine to begin postcopy first


def is_killed(plan: Plan, how: str) -> bool:
    """Whether exactly one attempt has a fault, this one, and has time to get to postcopy."""
    faulty = [attempt for attempt in plan.attempts if attempt.fault]
    if [attempt.fault and attempt.fault.how for attempt in faulty] != [how]:
        return False
    [attempt] = faulty
    assert attempt.postcopy
    early = attempt.seconds - (attempt.postcopy.after_seconds or 0) > EARLY_SECONDS
    return early and plan.parameters[AVAILABLE] == NEVER_ENOUGH


@pytest.mark.parametrize(("how", "then"), [(KILLED_IN_STOP, FAILED), (KILLED_IN_POSTCOPY, STRANDED)])
def test_nothing_is_wrong_and_the_guest_never_runs_twice(how: str, then: str) -> None:
    """One of the first few plans meets its fault: others may end in pre-copy before it."""
    possibilities = find_possibilities(qemu_binary(), "tcg")
    indexes = islice((index for index in count() if is_killed(draw_plan(SEED, index, possibilities), how)), FEW)
    for result in fuzz(qemu_binary(), SEED, indexes, possibilities):
        assert result.errors == []
        if result.faults == [(how, then)]:
            break
    else:
        pytest.fail(f"none of {FEW} destinations was {how}")
    assert (result.memory is not None) is (how == KILLED_IN_STOP)
    if result.memory:
        assert result.memory.equal, "the attempt after the failed one moved all of the guest"

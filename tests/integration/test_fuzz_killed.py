"""A destination that is killed in postcopy, and one in the stop before it, in the first plans that have one."""

from __future__ import annotations

from itertools import count, islice

import pytest
from fakedirty.lab.fuzz.campaign import fuzz, possible
from fakedirty.lab.fuzz.draw import AVAILABLE, NEVER_ENOUGH, draw
from fakedirty.lab.fuzz.fault_injection import FAILED, STRANDED
from fakedirty.lab.fuzz.faults import KILLED_IN_POSTCOPY, KILLED_IN_STOP
from fakedirty.lab.fuzz.plan import Plan
from fakedirty.lab.qemu import qemu_binary

SEED = 1231
FEW = 6
EARLY_SECONDS = 0.3  # before a migration is let through in pre-copy, for a loaded machine to begin postcopy first


def is_killed(plan: Plan, how: str) -> bool:
    """Whether one attempt is broken, in this way, and has time to get to postcopy."""
    broken = [attempt for attempt in plan.attempts if attempt.broken]
    if [attempt.broken and attempt.broken.how for attempt in broken] != [how]:
        return False
    (attempt,) = broken
    assert attempt.postcopy
    early = attempt.seconds - (attempt.postcopy.after_seconds or 0) > EARLY_SECONDS
    return early and plan.parameters[AVAILABLE] == NEVER_ENOUGH


@pytest.mark.parametrize(("how", "then"), [(KILLED_IN_STOP, FAILED), (KILLED_IN_POSTCOPY, STRANDED)])
def test_nothing_is_wrong_and_the_guest_never_runs_twice(how: str, then: str) -> None:
    """Whatever comes of a plan; in one of the first few its break is met: others may end in pre-copy before it."""
    allowed = possible(qemu_binary(), "tcg")
    indexes = islice((index for index in count() if is_killed(draw(SEED, index, allowed), how)), FEW)
    for fuzzed in fuzz(qemu_binary(), SEED, indexes, allowed):
        assert fuzzed.wrong == []
        if fuzzed.breaks == [(how, then)]:
            break
    else:
        pytest.fail(f"none of {FEW} destinations was {how}")
    assert (fuzzed.memory is not None) is (how == KILLED_IN_STOP)
    if fuzzed.memory:
        assert fuzzed.memory.equal, "the attempt after the one that came to nothing moved all of the guest"

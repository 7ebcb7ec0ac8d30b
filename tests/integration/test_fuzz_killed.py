"""A destination that is killed in postcopy, and one in the stop before it, in the first plans that are drawn so."""

from __future__ import annotations

from itertools import count

import pytest
from fakedirty.lab.fuzz import fuzz, possible
from fakedirty.lab.fuzz_break import KILLED_IN_POSTCOPY, KILLED_IN_STOP
from fakedirty.lab.fuzz_breaking import FAILED, STRANDED
from fakedirty.lab.fuzz_draw import draw
from fakedirty.lab.qemu import qemu_binary

SEED = 1231


@pytest.mark.parametrize(("how", "then"), [(KILLED_IN_STOP, FAILED), (KILLED_IN_POSTCOPY, STRANDED)])
def test_nothing_is_wrong_and_the_guest_never_runs_twice(how: str, then: str) -> None:
    allowed = possible(qemu_binary(), "tcg")

    def killed(index: int) -> list[str]:
        return [attempt.broken.how for attempt in draw(SEED, index, allowed).attempts if attempt.broken]

    index = next(index for index in count() if killed(index) == [how])
    (fuzzed,) = fuzz(qemu_binary(), SEED, [index], allowed)
    assert fuzzed.wrong == []
    assert fuzzed.breaks == [(how, then)]
    assert (fuzzed.memory is not None) is (how == KILLED_IN_STOP)
    if fuzzed.memory:
        assert fuzzed.memory.equal, "the attempt after the one that came to nothing moved all of the guest"

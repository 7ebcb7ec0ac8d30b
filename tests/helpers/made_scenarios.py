"""Scenarios of guests that are simulated by hand: a page takes 1 ms to send, and counts as 1 ms."""

from __future__ import annotations

import math
from dataclasses import replace

from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round
from fakedirty.model.simulation import Scenario
from fakedirty.model.working_set import Dirtying

LAST = Round(1, Kind.BULK, Mode.OBSERVE, "xxh3-64", 0.0, 2.0)
SKIPPING = replace(LAST, mode=Mode.SKIP)


def scenario(dirtying: Dirtying, changed: float = 1.0, hashing: float = 0.0, counting: float = 1e-3) -> Scenario:
    return Scenario(dirtying, changed, sending=1e-3, hashing=hashing, counting=counting)


def always(pages: float) -> Dirtying:
    """A guest that rewrites so many pages in any time."""
    return lambda seconds: pages


def rate(pages: float, most: float = math.inf) -> Dirtying:
    """A guest that dirties so many pages a second, of a working set of `most`."""
    return lambda seconds: min(most, pages * seconds)

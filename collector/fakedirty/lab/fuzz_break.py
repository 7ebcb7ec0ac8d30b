"""How a fuzzed migration is broken before its end: its channels, one of them, or the destination. The guest goes on."""

from __future__ import annotations

from dataclasses import dataclass

from .fuzz_chance import Chance
from .fuzz_moment import Moment

ALL, ONE, KILLED = "channels broken", "one channel broken", "destination killed"
BREAKS = (ALL, ONE, KILLED)
SHARE = 0.5  # of attempts that would be cancelled


@dataclass(frozen=True, slots=True)
class Break:
    """One of `BREAKS`, and when. `which` says which channel is broken, between 0 and 1, if it is one."""

    how: str
    moment: Moment
    which: float = 0.0


def draw_break(chance: Chance, moment: Moment, *, channels: bool) -> Break | None:
    """What happens at the moment instead of a cancel, if anything. One channel alone where there are `channels`."""
    happens, how, which = chance.happens(SHARE), chance.of(BREAKS), chance.between(0, 1)
    if not happens:
        return None
    return Break(how if channels or how != ONE else ALL, moment, which)

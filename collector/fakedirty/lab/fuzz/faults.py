"""How a fuzzed migration is broken: its channels, one of them, the destination, its disk; or its link in postcopy.

If the link breaks in postcopy, the migration goes on once it is mended. If the destination is killed in postcopy, the
guest is lost, and goes on nowhere. Of all else the guest goes on at the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from .chance import Chance
from .moment import Moment

ALL, ONE, KILLED = "channels broken", "one channel broken", "destination killed"
FULL, IN_POSTCOPY = "disk full", "link broken in postcopy"
KILLED_IN_STOP, KILLED_IN_POSTCOPY = "killed in stop of postcopy", "killed in postcopy"
OF_A_CONNECTION = (ALL, ONE, KILLED)
OF_POSTCOPY = (IN_POSTCOPY, KILLED_IN_STOP, KILLED_IN_POSTCOPY)
BREAKS = (*OF_A_CONNECTION, FULL, *OF_POSTCOPY)
SHARE = 0.5  # of attempts that would be cancelled


@dataclass(frozen=True, slots=True)
class Fault:
    """One of `BREAKS`, and when.

    `which`, between 0 and 1, says which channel is broken if it is one, at which part of a file the disk is full, and
    how far into postcopy the destination is killed.
    """

    how: str
    moment: Moment
    which: float = 0.0


def draw_break(chance: Chance, moment: Moment, *, channels: bool, file: bool) -> Fault | None:
    """What happens at the moment instead of a cancel, if anything. One channel alone where there are `channels`."""
    happens, how, which = chance.happens(SHARE), chance.of(OF_A_CONNECTION), chance.between(0, 1)
    if not happens:
        return None
    if file:
        return Fault(FULL, moment, which)
    return Fault(how if channels or how != ONE else ALL, moment, which)

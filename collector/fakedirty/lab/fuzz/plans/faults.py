"""Faults that a fuzzed migration meets: of its channels, its destination, its disk, or of its link in postcopy.

A migration whose link breaks in postcopy goes on once the link is mended. If the destination is killed in postcopy,
the guest is lost. After every other fault the guest runs on at the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from .chance import Chance
from .moment import Moment

ALL_CHANNELS, ONE_CHANNEL, KILLED = "channels broken", "one channel broken", "destination killed"
DISK_FULL, LINK_IN_POSTCOPY = "disk full", "link broken in postcopy"
KILLED_IN_STOP, KILLED_IN_POSTCOPY = "killed in stop of postcopy", "killed in postcopy"
CONNECTION_FAULTS = (ALL_CHANNELS, ONE_CHANNEL, KILLED)
POSTCOPY_FAULTS = (LINK_IN_POSTCOPY, KILLED_IN_STOP, KILLED_IN_POSTCOPY)
FAULTS = (*CONNECTION_FAULTS, DISK_FULL, *POSTCOPY_FAULTS)
SHARE = 0.5  # of attempts that would be cancelled


@dataclass(frozen=True, slots=True)
class Fault:
    """One of FAULTS, and its moment.

    `which` is between 0 and 1. It chooses the channel where one breaks, the size at which a file meets the full disk,
    and how far into postcopy the destination is killed.
    """

    how: str
    moment: Moment
    which: float = 0.0


def draw_fault(chance: Chance, moment: Moment, *, channels: bool, file: bool) -> Fault | None:
    """Draw a fault that takes the place of a cancel.

    Args:
        chance: the random generator.
        moment: the moment of the cancel.
        channels: whether the migration has channels of multifd, so that one of them may break alone.
        file: whether it goes into a file.

    Returns:
        The fault; None if the attempt is cancelled after all.
    """
    happens, how, which = chance.happens(SHARE), chance.choice(CONNECTION_FAULTS), chance.between(0, 1)
    if not happens:
        return None
    if file:
        return Fault(DISK_FULL, moment, which)
    return Fault(how if channels or how != ONE_CHANNEL else ALL_CHANNELS, moment, which)

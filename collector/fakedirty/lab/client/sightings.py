"""What a client saw of a guest that moved: its last reply before, its first one after, and what announced it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fakedirty.errors import LabError

from .frames import FrameKind

FAMILIES = {"IPv4": (FrameKind.REQUEST4, FrameKind.REPLY4), "IPv6": (FrameKind.REQUEST6, FrameKind.REPLY6)}
ANNOUNCEMENTS = (FrameKind.RARP, FrameKind.GRATUITOUS_ARP, FrameKind.NEIGHBOUR_ADVERTISEMENT)


class Sighting(NamedTuple):
    """A frame that passed the client's device.

    Attributes:
        at_ns: when, on CLOCK_MONOTONIC.
        kind: what it was.
        number: of an echo.
    """

    at_ns: int
    kind: FrameKind
    number: int


@dataclass(frozen=True, slots=True)
class ClientOutage:
    """How long a client got no reply from a guest that moved.

    Attributes:
        last_ns: its last reply before the guest ran at the destination, on CLOCK_MONOTONIC.
        first_ns: its first reply after that.
        unanswered: requests in between that were never answered.
    """

    last_ns: int
    first_ns: int
    unanswered: int

    @property
    def duration_ns(self) -> int:
        """From the last reply to the first one. It is too long by at most one interval between two requests."""
        return self.first_ns - self.last_ns


class Sightings:
    """All that a client saw, in the order of time."""

    def __init__(self, seen: Sequence[Sighting]) -> None:
        self._seen = sorted(seen)

    def outage(self, family: str, resumed_ns: int) -> ClientOutage | None:
        """The outage around the moment when the guest ran again.

        Args:
            family: of :data:`FAMILIES`.
            resumed_ns: that moment, on CLOCK_MONOTONIC.

        Returns:
            None if there is no reply before that moment, or none after it.
        """
        request, reply = FAMILIES[family]
        replies = [each for each in self._seen if each.kind is reply]
        before = [each.at_ns for each in replies if each.at_ns < resumed_ns]
        after = [each.at_ns for each in replies if each.at_ns >= resumed_ns]
        if not before or not after:
            return None
        last_ns, first_ns = before[-1], after[0]
        answered = {each.number for each in replies}
        unanswered = sum(
            each.kind is request and last_ns < each.at_ns < first_ns and each.number not in answered
            for each in self._seen
        )
        return ClientOutage(last_ns, first_ns, unanswered)

    def first(self, kind: FrameKind, since_ns: int) -> int | None:
        """When the first frame of a kind came at or after `since_ns`; None if none did."""
        return next((each.at_ns for each in self._seen if each.kind is kind and each.at_ns >= since_ns), None)


def parse_sightings(text: str) -> list[Sighting]:
    """Parse the lines of the client's process; an incomplete last line is ignored.

    Raises:
        LabError: a line is none of the client's.
    """
    found = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        try:
            at, kind, number = line.split()
            found.append(Sighting(int(at), FrameKind(FrameKind.parse(kind)), int(number)))
        except ValueError as error:
            raise LabError(f"the client of the guest wrote {line!r}") from error
    return found

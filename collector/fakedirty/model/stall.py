"""Stalls of a migration: rounds in a row of which none leaves less than the first of them found.

A stall is a fact about rounds, and no forecast: a migration that stalls may still end, because its downtime limit is
raised or its guest becomes quieter. The downtime limit decides when a migration ends, and not how many pages get dirty.
So a limit that changes neither begins nor ends a stall.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .enums import Kind, Mode, StringEnum
from .round import Round
from .simulation import STANDSTILL_ROUNDS

GAIN = 0.05  # of what the first round found: a later round that has less by more than this shows that something is won


class Burden(StringEnum):
    """What is compared of rounds: the dirty pages that a round FOUND at its start, or the pages that it SENT.

    With skip on, most dirty pages may be fake: only what is sent can become less. Without skip, pages that were sent
    are compared where dirty pages are not seen.
    """

    FOUND = 0
    SENT = 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """The longest stretch of rounds up to the last one in which nothing was won.

    Attributes:
        since_round: number of the first round.
        rounds: rounds that left as much as the first one found, or were followed by one that sent as much. These are
            all of the stretch but the last: what it leaves is seen when the next one has ended.
        pages: that the first round found or sent.
        burden: which of the two.
    """

    since_round: int
    rounds: int
    pages: int
    burden: Burden

    @property
    def is_stall(self) -> bool:
        """Whether it is long enough to be called a stall: as long as one that a forecast takes for endless."""
        return self.rounds >= STANDSTILL_ROUNDS


class LiveStretch:
    """Keeps the stretch that ends with the last round of one migration.

    A toggle begins it anew, after the round of the toggle. So do a round that cannot be trusted, a gap in the numbers
    of rounds, and a round that had nothing to send. Rounds of zero length show nothing, and are passed over.

    One thread calls :meth:`take` and :meth:`toggle`; any thread may read `latest`.

    Attributes:
        latest: None where nothing can be compared: before the second such round, and at the switchover.
    """

    def __init__(self) -> None:
        self.latest: Stretch | None = None
        self._toggled = 0  # round of the last toggle
        self._before: Round | None = None
        self._compared = 0
        self._burden = Burden.FOUND
        # Rounds that may begin the stretch. Each has fewer pages than the one before it: a later round with as many
        # begins none that is longer.
        self._firsts: deque[_First] = deque()

    def toggle(self, number: int) -> None:
        """The mode or the hash has changed during the round `number`."""
        self._toggled = max(self._toggled, number)
        self._begin()

    def take(self, r: Round) -> None:
        """A round has ended."""
        before, self._before = self._before, r
        if r.kind is not Kind.ITERATIVE or r.round <= self._toggled or not r.valid:
            self._before = None
            self._begin()
            return
        if before is not None and (r.round != before.round + 1 or r.mode != before.mode):
            self._begin()
        if r.duration_seconds <= 0:
            return
        burden, pages = _burden(r)
        if not pages:
            self._begin()
            return
        if burden is not self._burden:
            self._begin()
            self._burden = burden
        self._compare(r.round, pages)

    def _begin(self) -> None:
        self.latest = None
        self._compared = 0
        self._firsts.clear()

    def _compare(self, number: int, pages: int) -> None:
        self._compared += 1
        while self._firsts and pages < (1 - GAIN) * self._firsts[0].pages:
            self._firsts.popleft()
        if not self._firsts or pages < self._firsts[-1].pages:
            self._firsts.append(_First(number, self._compared, pages))
        if self._compared > 1:
            first = self._firsts[0]
            self.latest = Stretch(first.number, self._compared - first.compared, first.pages, self._burden)


@dataclass(frozen=True, slots=True)
class _First:
    """A round that may begin the stretch: its number, how many rounds were compared up to it, and its pages."""

    number: int
    compared: int
    pages: int


def _burden(r: Round) -> tuple[Burden, int | None]:
    if r.mode is not Mode.SKIP and r.dirty_pages is not None:
        return Burden.FOUND, r.dirty_pages
    if r.visited_pages is not None:
        skipped = r.skipped_pages if r.mode is Mode.SKIP else 0
        return Burden.SENT, None if skipped is None else r.visited_pages - skipped
    if r.mode is Mode.SKIP or r.normal_pages is None or r.zero_pages is None:
        return Burden.SENT, None
    return Burden.SENT, r.normal_pages + r.zero_pages + (r.xbzrle_pages or 0)

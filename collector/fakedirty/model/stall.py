"""Stalls of a migration: rounds in a row of which none leaves less than the first of them found.

A stall is a fact about rounds, and no forecast: a migration that stalls may still end, because its downtime limit is
raised or its guest becomes quieter. The downtime limit decides when a migration ends, and not how many pages get dirty.
So a limit that changes neither begins nor ends a stall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .enums import Kind, Mode, StringEnum
from .events import ModeChanged
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


def latest_stretch(rounds: Sequence[Round], toggles: Sequence[ModeChanged] = ()) -> Stretch | None:
    """The stretch of rounds that ends with the last one.

    A toggle begins it anew, after the round of the toggle. So do a round that cannot be trusted, a gap in the numbers
    of rounds, and a round that had nothing to send. Rounds of zero length show nothing, and are passed over.

    Args:
        rounds: all rounds so far.
        toggles: all changes of mode or hash so far.

    Returns:
        None where nothing can be compared: before the second such round, and at the switchover.
    """
    burdens = [*_burdens(rounds, max((toggle.round for toggle in toggles), default=0))]
    if len(burdens) < 2:
        return None
    number, burden, least = burdens[0]
    found = Stretch(number, 0, least, burden)
    for later, (number, burden, pages) in enumerate(burdens[1:], 1):
        if least >= (1 - GAIN) * pages:
            found = Stretch(number, later, pages, burden)
        least = min(least, pages)
    return found


def _burdens(rounds: Sequence[Round], toggled: int) -> Iterator[tuple[int, Burden, int]]:
    """Number, measure and pages of the last rounds that can be compared with each other, the latest first."""
    after: Round | None = None
    measured: Burden | None = None
    for r in reversed(rounds):
        followed = after is None or (r.round == after.round - 1 and r.mode == after.mode)
        if r.kind is not Kind.ITERATIVE or r.round <= toggled or not r.valid or not followed:
            return
        after = r
        if r.duration_seconds <= 0:
            continue
        burden, pages = _burden(r)
        if not pages or measured not in (None, burden):
            return
        measured = burden
        yield r.round, burden, pages


def _burden(r: Round) -> tuple[Burden, int | None]:
    if r.mode is not Mode.SKIP and r.dirty_pages is not None:
        return Burden.FOUND, r.dirty_pages
    if r.visited_pages is not None:
        skipped = r.skipped_pages if r.mode is Mode.SKIP else 0
        return Burden.SENT, None if skipped is None else r.visited_pages - skipped
    if r.mode is Mode.SKIP or r.normal_pages is None or r.zero_pages is None:
        return Burden.SENT, None
    return Burden.SENT, r.normal_pages + r.zero_pages + (r.xbzrle_pages or 0)

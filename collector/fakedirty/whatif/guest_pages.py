"""What the rounds of a recording show of each page: how often it is written, how often it changes, when it is zero."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .page_history import PageHistory
from .rate_mixture import Bound, IntervalObservations, RateMixture
from .scan import passes

Indexes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

VISIT_RESOLUTION = 0.1  # times between visits differ from page to page; more classes would show no more
SHORTEST = 1e-3  # seconds: an interval is at least as long as QEMU takes for a bitmap sync


@dataclass(frozen=True, slots=True)
class GuestPages:
    """The pages of a guest, in the order in which QEMU visits them.

    Attributes:
        pages: how many there are.
        weight: pages that each stands for.
        block_ends: the position after the last page of each RAM block; shape (blocks,).
        writes: rates at which each page is written.
        changes: rates at which the content of each page changes, as far as it is visited.
        zero_first: the probability that a page is zero in the first round; shape (pages,).
        zero_again: the probability that a page is zero when it is sent again; shape (pages,).
        intervals: how many rounds showed whether pages were written.
        never_written: pages that no round after the first visited.
        always_written: pages that were written in every interval that was seen: their rates have no upper bound.
    """

    pages: int
    weight: float
    block_ends: Indexes
    writes: RateMixture
    changes: RateMixture
    zero_first: Numbers
    zero_again: Numbers
    intervals: int
    never_written: int
    always_written: int

    def dirtied(self, seconds: float, bound: Bound) -> Numbers:
        """The probability that each page gets dirty within a time, in seconds; shape (pages,)."""
        return self.writes.probability(seconds, bound)

    def changed(self, at: Indexes, seconds: Numbers, bound: Bound) -> Numbers:
        """The probability that dirty pages have changed since they were visited; shape (n,).

        Args:
            at: the pages; shape (n,).
            seconds: since the last visit of each; shape (n,).
            bound: which of the rates that are possible.
        """
        return self.changes.probabilities(at, seconds, bound)


def estimate_pages(history: PageHistory) -> GuestPages:
    """Estimate the rates of all pages.

    A pass of the scan shows whether a page was written between two bitmap syncs: the one before this pass, and the one
    before the pass before. A visit shows whether its content differs from that of the visit before.
    """
    bulk, pages = history.rounds[0], history.pages
    starts = [visits.round.start_seconds for visits in history.rounds]
    shortest = max(SHORTEST, min(after - before for before, after in pairwise(starts)))
    last = history.rounds[-1].round
    longest = last.start_seconds + last.duration_seconds - starts[0]
    writes = IntervalObservations(pages, shortest, max(longest, shortest))
    changes = IntervalObservations(pages, shortest, max(longest, shortest), VISIT_RESOLUTION)
    synced = np.full(pages, starts[0])  # when the first sync was whose writes no pass has shown yet
    visited_at = np.full(pages, np.nan)
    visited_at[bulk.at] = bulk.seconds
    seen, written, zero, sent = (np.zeros(pages) for _ in range(4))
    intervals, before = 0, 1
    for each in passes(history):
        visits, number = each.visits, each.visits.round.round
        start = visits.round.start_seconds
        if each.passed is None or number != before + 1:
            # what this round visited is not known: assume that it passed all pages
            synced[:], visited_at[:] = start, np.nan
        if each.passed is not None and number == before + 1:
            dirty = np.zeros(pages, bool)
            dirty[visits.at] = True
            is_first = np.zeros(pages, bool)
            is_first[visits.at[visits.first]] = True  # it was never sent, so it was not written for certain
            known = each.passed[~is_first[each.passed]]
            lengths = np.maximum(start - synced[known], SHORTEST)
            writes.observe(known, lengths, dirty[known])
            intervals += bool(len(known))
            seen[known] += 1
            written[known] += dirty[known]
            again = ~visits.first & np.isfinite(visited_at[visits.at])
            at = visits.at[again]
            changes.observe(at, np.maximum(visits.seconds[again] - visited_at[at], SHORTEST), visits.changed[again])
            synced[each.passed] = start
        if each.passed is not None:
            visited_at[visits.at] = visits.seconds
            sent[visits.at] += 1
            zero[visits.at] += visits.zero
        before = number
    zero_first = np.zeros(pages)
    zero_first[bulk.at] = bulk.zero
    return GuestPages(
        pages,
        history.weight,
        history.block_ends,
        writes.fit(),
        changes.fit(),
        zero_first,
        np.where(sent > 0, zero / np.maximum(sent, 1), zero_first),
        intervals,
        int((written == 0).sum()),
        int(((written == seen) & (seen > 0)).sum()),
    )

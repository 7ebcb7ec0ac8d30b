"""The pages that QEMU's scan of RAM passed in each round: a page that it passed and did not visit was not dirty.

QEMU goes round and round through RAM. A new round goes on where the one before ended; what that one left is visited
first. If a round leaves nothing, QEMU has searched to the end of the RAM block, and the next round begins behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fakedirty.model.enums import Kind

from .page_history import PageHistory, RoundVisits

Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pass:
    """A round with the pages that its scan passed.

    Attributes:
        visits: of the round.
        passed: positions of the pages, visited or not; None if that is not known.
    """

    visits: RoundVisits
    passed: Indexes | None


def passes(history: PageHistory) -> Iterator[Pass]:
    """The passes of all rounds after the first."""
    start = _after(history, history.rounds[0], history.rounds[1:])[0]
    for number, visits in enumerate(history.rounds[1:], 1):
        if visits.flaw:
            yield Pass(visits, None)
            start = _after(history, visits, history.rounds[number + 1 :])[0]
            continue
        if not len(visits.at):
            # nothing was sent: QEMU switched over, or there was nothing to send
            empty = visits.round.left_pages == 0
            yield Pass(visits, np.arange(history.pages) if empty else np.zeros(0, np.int64))
            continue
        following, emptied = _after(history, visits, history.rounds[number + 1 :])
        left = visits.round.left_pages
        whole = visits.round.kind is Kind.SWITCHOVER or left == 0 or (left is None and emptied)
        reach = history.pages if whole else int(_offsets(visits.at, start, history.pages).max()) + 1
        yield Pass(visits, (start + np.arange(reach)) % history.pages)
        start = following


def _after(history: PageHistory, visits: RoundVisits, later: Sequence[RoundVisits]) -> tuple[int, bool]:
    """Where the next round begins, and whether it begins at a new RAM block: the round then left nothing.

    Of both places that are possible, the one is taken from which the next visits are in the order of the scan. If both
    are, the counts of the round decide.
    """
    if not len(visits.at):
        return 0, False
    last = int(visits.at[-1])
    end = int(history.block_ends[np.searchsorted(history.block_ends, last, side="right")])
    places = [(last + 1) % history.pages, end % history.pages]
    following = next((each.at for each in later if len(each.at)), np.zeros(0, np.int64))
    steps_back = [int((np.diff(_offsets(following, place, history.pages)) < 0).sum()) for place in places]
    emptied = steps_back[1] < steps_back[0] or (steps_back[1] == steps_back[0] and visits.round.left_pages == 0)
    return places[emptied], emptied


def _offsets(at: Indexes, start: int, pages: int) -> Indexes:
    """How far each page is from where the scan begins."""
    return (at - start) % pages

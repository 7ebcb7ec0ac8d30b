"""How many pages a guest dirties in a second, by the rounds that have ended: nothing is measured in the guest.

A page counts once in a round, however often the guest writes it: a round shows that a page was written, and not how
often. QEMU's own job (``query-dirty-rate``) is never started, because it disturbs a migration that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .round import Round
from .working_set import RECENT_ROUNDS, followed, points_between

BLOCKS_SHOWN = 8  # RAM blocks that are reported one by one
OTHER_BLOCKS = "other blocks"


@dataclass(frozen=True, slots=True)
class DirtyRate:
    """Pages that get dirty in a second.

    Attributes:
        pages: of the whole guest, a second.
        rounds: over how many rounds.
        blocks: a second, by the name of the RAM block, the greatest first; :data:`OTHER_BLOCKS` has the sum of those
            beyond :data:`BLOCKS_SHOWN`. None where no page records show them.
    """

    pages: float
    rounds: int
    blocks: Mapping[str, float] | None = None


class BlockVisits:
    """Visited pages by RAM block, of the latest rounds that have page records.

    One thread calls :meth:`take`; any thread may read.
    """

    def __init__(self) -> None:
        self._rounds: dict[int, dict[str, int]] = {}

    def take(self, number: int, block: str, pages: int) -> None:
        """Count page records.

        Args:
            number: of their round.
            block: name of their RAM block.
            pages: how many they are.
        """
        counts = self._rounds.get(number)
        if counts is None:
            counts = self._rounds[number] = {}
            for old in [each for each in self._rounds if each < number - RECENT_ROUNDS]:
                del self._rounds[old]
        counts[block] = counts.get(block, 0) + pages

    def of(self, r: Round) -> Mapping[str, int] | None:
        """The visited pages of a round by RAM block; None unless its page records are complete."""
        counts = dict(self._rounds.get(r.round, {}))
        return counts if sum(counts.values()) == r.visited_pages else None


def dirty_rate(rounds: Sequence[Round], visits: BlockVisits) -> DirtyRate | None:
    """Pages that got dirty in a second of the last rounds.

    Args:
        rounds: all rounds so far. The next round shows what was written in a round, so the last one is not used.
        visits: visited pages by RAM block. The blocks are taken to have the same shares of the pages that got dirty as
            of those that were visited next, in the rounds whose page records are complete.

    Returns:
        None where no valid round shows what was written in the round before.
    """
    pairs = [(before, after) for before, after in followed(rounds) if before.valid and after.valid]
    if not pairs:
        return None
    points = points_between(pairs)
    rate = sum(pages for _, pages in points) / sum(seconds for seconds, _ in points)
    return DirtyRate(rate, len(pairs), _by_block(rate, [visits.of(after) for _, after in pairs]))


def _by_block(rate: float, visited: Sequence[Mapping[str, int] | None]) -> Mapping[str, float] | None:
    sums: dict[str, int] = {}
    for counts in visited:
        for block, pages in (counts or {}).items():
            sums[block] = sums.get(block, 0) + pages
    total = sum(sums.values())
    if not total:
        return None
    order = sorted(sums, key=lambda block: (-sums[block], block))
    shares = {block: rate * sums[block] / total for block in order[:BLOCKS_SHOWN]}
    if rest := sum(sums[block] for block in order[BLOCKS_SHOWN:]):
        shares[OTHER_BLOCKS] = rate * rest / total
    return shares

"""How many pages a guest dirties within a time, from what its rounds have shown of it.

A guest rewrites a working set: in a long round all of it gets dirty, in a short one the part that it came to. Of a set
of ``W`` pages each is written once in ``tau`` seconds on average, so that ``W * (1 - exp(-t / tau))`` of them are dirty
after ``t``. One round says nothing of `tau`: two of different lengths do.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence

from .round import Round

Dirtying = Callable[[float], float]  # pages that are dirty after so many seconds, of which none was before

RECENT_ROUNDS = 8
_LOOKS, _STEPS = 3, 8  # at tau, from a hundredth of the shortest round to a hundred times the longest, ever closer


def observed(rounds: Sequence[Round]) -> list[tuple[float, float]]:
    """Seconds of a round, and the pages that were written in it.

    They are dirty when the next round begins, and so are those that were left, written again or not: of both alike.
    """
    pairs = [
        (before, after)
        for before, after in itertools.pairwise(rounds[-RECENT_ROUNDS - 1 :])
        if after.round == before.round + 1 and before.duration_seconds > 0 and _dirty(after) is not None
    ]
    most = max((_dirty(after) or 0 for _, after in pairs), default=0)
    return [
        (before.duration_seconds, _written(before.left_pages or 0, _dirty(after) or 0, most)) for before, after in pairs
    ]


def _dirty(r: Round) -> int | None:
    """Where it is not seen, what was visited."""
    return r.visited_pages if r.dirty_pages is None else r.dirty_pages


def _written(left: int, dirty: int, most: int) -> float:
    """Of a working set of `most` pages, of which `left` were dirty still, and `dirty` are when the round is over."""
    if left >= most:
        return dirty
    return min(most, max(0, dirty - left) / (1 - left / most))


def saturated(points: Sequence[tuple[float, float]]) -> Dirtying:
    """All that was ever seen, at once: no guest is worse, but for one that changes."""
    most = max(pages for _, pages in points)
    return lambda seconds: most


def steady(points: Sequence[tuple[float, float]]) -> Dirtying:
    """As many in each second between two lengths of rounds, and up to the shortest: no guest is better.

    What it writes first is new, and the longer a round is the more of it is written again: the line is a chord.
    """
    corners = [(0.0, 0.0), *sorted(points)]
    ends = [end for end, _ in corners]

    def written(seconds: float) -> float:
        place = bisect.bisect_right(ends, seconds)
        if place == len(corners):
            return corners[-1][1]
        (start, before), (end, after) = corners[place - 1 : place + 1]
        return before + (after - before) * (seconds - start) / (end - start)

    return written


def fitted(points: Sequence[tuple[float, float]]) -> Dirtying:
    """The working set that fits best, by least squares; saturated where one length of rounds is all that was seen."""
    shortest, longest = (choose(seconds for seconds, _ in points) for choose in (min, max))
    if longest < 1.5 * shortest:
        return saturated(points)
    low, high = math.log(shortest / 100), math.log(longest * 100)
    for _ in range(_LOOKS):
        step = (high - low) / _STEPS
        best = min(_fit(points, math.exp(low + step * number)) for number in range(_STEPS + 1))
        low, high = math.log(best[2]) - step, math.log(best[2]) + step
    _, pages, tau = best
    return lambda seconds: pages * -math.expm1(-seconds / tau)


def _fit(points: Sequence[tuple[float, float]], tau: float) -> tuple[float, float, float]:
    """The squares that are left with the best number of pages for `tau`; that number; and `tau`."""
    shares = [-math.expm1(-seconds / tau) for seconds, _ in points]
    pages = sum(share * seen for share, (_, seen) in zip(shares, points, strict=True)) / sum(each**2 for each in shares)
    rest = sum((pages * share - seen) ** 2 for share, (_, seen) in zip(shares, points, strict=True))
    return rest, pages, tau

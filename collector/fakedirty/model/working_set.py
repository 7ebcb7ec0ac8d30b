"""Estimates of the number of pages that a guest dirties within a time, from its rounds so far.

The model: a guest rewrites a working set of ``W`` pages, and writes each of them once in ``tau`` seconds on average.
After ``t`` seconds ``W * (1 - exp(-t / tau))`` of them are dirty: all in a long round, some in a short one. A single
round says nothing about `tau`; two rounds of different lengths do.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence

from .enums import Kind
from .round import Round

Dirtying = Callable[[float], float]  # seconds -> pages that get dirty in them, beginning with none

RECENT_ROUNDS = 8
# tau is searched from a hundredth of the shortest round to a hundred times the longest: steps in each of the searches,
# of which every one is around the best value of the search before
_SEARCHES, _STEPS = 3, 8
_APART = 1.5  # the longest round by the shortest: with less, rounds have about the same length
_FEWER = 0.9  # of the pages of the longest round: where the shortest has fewer, they depend on time


def dirtying_points(rounds: Sequence[Round]) -> list[tuple[float, float]]:
    """The length of each recent round, in seconds, and the number of pages that the guest wrote in it.

    These pages are dirty when the next round begins. So are the pages that the round left, and the guest may have
    written those again: it is assumed to write left pages as often as others of its working set. The bulk round leaves
    pages of all memory, of which the guest may have written all or none.
    """
    return points_between(followed(rounds))


def most_dirty(rounds: Sequence[Round]) -> int:
    """The most pages that were dirty after a recent round: no fewer than the guest wrote in any; 0 if none shows it."""
    return max((dirty for _, after in followed(rounds) if (dirty := _dirty(after)) is not None), default=0)


def followed(rounds: Sequence[Round]) -> list[tuple[Round, Round]]:
    """Each recent round that shows what was written in it, with the round that followed it."""
    return [
        (before, after)
        for before, after in itertools.pairwise(rounds[-RECENT_ROUNDS - 1 :])
        if after.round == before.round + 1 and before.duration_seconds > 0 and _dirty(after) is not None
    ]


def points_between(pairs: Sequence[tuple[Round, Round]]) -> list[tuple[float, float]]:
    """The points of :func:`dirtying_points`, of pairs that :func:`followed` has returned."""
    seen = [(before, dirty) for before, after in pairs if (dirty := _dirty(after)) is not None]
    later = max((dirty for before, dirty in seen if before.kind is not Kind.BULK), default=None)
    of_bulk = [_written_in_bulk(before, dirty, later) for before, dirty in seen if before.kind is Kind.BULK]
    most = max([*of_bulk, later or 0])
    others = [
        (before.duration_seconds, _written(before.left_pages or 0, dirty, most))
        for before, dirty in seen
        if before.kind is not Kind.BULK
    ]
    # a bulk round is the first of all
    return [*zip((before.duration_seconds for before, _ in seen), of_bulk, strict=False), *others]


def _dirty(r: Round) -> int | None:
    """Dirty pages of a round; visited pages where dirty ones are not seen."""
    return r.visited_pages if r.dirty_pages is None else r.dirty_pages


def _written_in_bulk(bulk: Round, dirty: int, later: int | None) -> float:
    """Pages written in the bulk round, after which `dirty` are dirty: those that it left, too, written or not.

    Of the possible numbers the one is taken that is nearest to the pages of `later` rounds; before there are any, the
    guest is taken to have written the same share of what was left as of its other memory.
    """
    left = bulk.left_pages or 0
    if later is None:
        return _written(left, dirty, (bulk.visited_pages or 0) + left)
    return min(max(later, dirty - left), dirty)


def _written(left: int, dirty: int, most: float) -> float:
    """Pages written in a round, of a working set of `most` pages: `left` stayed dirty, `dirty` are at its end."""
    if left >= most:
        return dirty
    return min(most, max(0, dirty - left) / (1 - left / most))


def saturated(points: Sequence[tuple[float, float]]) -> Dirtying:
    """All pages that any of `points` has get dirty at once.

    Args:
        points: at least one pair of seconds and pages, as :func:`dirtying_points` returns them.
    """
    return at_once(max(pages for _, pages in points))


def at_once(pages: float) -> Dirtying:
    """So many pages get dirty at once, however short the time is."""
    return lambda seconds: pages


def steady(points: Sequence[tuple[float, float]]) -> Dirtying:
    """A lower bound: straight lines from zero through `points`, and flat after the last of them.

    The true curve lies above: in a longer round a guest writes more and more pages that are dirty already.

    >>> curve = steady([(1.0, 100), (3.0, 200)])
    >>> curve(0.5), curve(2.0), curve(9.0)
    (50.0, 150.0, 200)
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
    """The curve that fits `points` best, by least squares; :func:`saturated` if all have about the same length."""
    shortest, longest = (choose(seconds for seconds, _ in points) for choose in (min, max))
    if longest < _APART * shortest:
        return saturated(points)
    low, high = math.log(shortest / 100), math.log(longest * 100)
    for _ in range(_SEARCHES):
        step = (high - low) / _STEPS
        best = min(_fit(points, math.exp(low + step * number)) for number in range(_STEPS + 1))
        low, high = math.log(best[2]) - step, math.log(best[2]) + step
    _, pages, tau = best
    return lambda seconds: pages * -math.expm1(-seconds / tau)


def depend_on_time(points: Sequence[tuple[float, float]], curve: Dirtying) -> bool:
    """Whether `points` show that the guest dirties fewer pages in less time, and how many fewer.

    Rounds of one length do not show that. Nor do long rounds that all have the whole working set.

    Args:
        points: as :func:`dirtying_points` returns them.
        curve: the one that fits them.
    """
    shortest, longest = (choose(seconds for seconds, _ in points) for choose in (min, max))
    return longest >= _APART * shortest and curve(shortest) < _FEWER * curve(longest)


def _fit(points: Sequence[tuple[float, float]], tau: float) -> tuple[float, float, float]:
    """The best number of pages for `tau`: the sum of squares that remains, that number, and `tau`."""
    shares = [-math.expm1(-seconds / tau) for seconds, _ in points]
    pages = sum(share * seen for share, (_, seen) in zip(shares, points, strict=True)) / sum(each**2 for each in shares)
    rest = sum((pages * share - seen) ** 2 for share, (_, seen) in zip(shares, points, strict=True))
    return rest, pages, tau

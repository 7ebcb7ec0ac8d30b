"""Predicts from the rounds so far whether a migration converges, and whether it would with skip mode on.

Both plans are simulated. Uncertain are the pages that the guest dirties, the share of changed pages, the rate of the
link and the time of a hash: each plan is simulated with the best, the expected and the worst values of these. The same
simulations, with other downtime limits, bandwidths and throttles, find the least of each with which a plan ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

from .enums import Kind, Mode
from .forecast import Estimate, Forecast, Prediction, Search
from .recommendation import least_bandwidth, least_throttle
from .round import Round
from .round_estimates import (
    RECENT_ROUNDS,
    WHOLE_PAGE_BYTES,
    Link,
    changed_ratio,
    compared_pages,
    link_of,
    page_hashing,
    unchanged_ratio,
)
from .simulation import End, Scenario, Wire, dirty_after, least_limit, simulate
from .working_set import at_once, depend_on_time, dirtying_points, fitted, most_dirty, saturated, steady

DOWNTIME_LIMIT_SECONDS = 0.3  # QEMU's default, used where QEMU's own limit is not known
PLAIN = 0.9  # of a whole page: where pages take no less than this on the link, they are not compressed


def predict(
    rounds: Sequence[Round],
    downtime_limit_seconds: float | None = None,
    switchover_rate: float | None = None,
    channels: int | None = None,
    compressed: bool | None = None,
) -> Forecast | None:
    """The forecast of a running migration.

    Args:
        rounds: its rounds so far, without a switchover. The counts of those that are invalid are left out.
        downtime_limit_seconds: QEMU's limit; None if not known: QEMU's default is used.
        switchover_rate: bytes a second by which QEMU decides on the switchover (``avail-switchover-bandwidth``); None
            if not set: QEMU uses the rate of the link.
        channels: channels that send and hash pages at the same time; None if not known.
        compressed: whether multifd compresses pages; None if not known.

    Returns:
        None before the end of the second valid round, where no page was classified, and where pages are compressed and
        the bytes of rounds are not seen.
    """
    valid = [r for r in rounds if r.valid]
    again = [r for r in valid[-RECENT_ROUNDS:] if r.kind is Kind.ITERATIVE and compared_pages(r)]
    points = dirtying_points(valid)
    link = link_of(valid)
    if not again or not points or link is None or (compressed and not link.weighed):
        return None
    limit = DOWNTIME_LIMIT_SECONDS if downtime_limit_seconds is None else downtime_limit_seconds
    last = rounds[-1]
    elapsed = last.start_seconds + last.duration_seconds
    # a bitmap sync within a round adds pages to those that it found; after each sync it comes by a page once
    passed = (compared_pages(r) / (1 + (r.forced_syncs or 0)) for r in again)
    working_set = max(*(pages for _, pages in points), *passed)
    changed = changed_ratio(again, working_set)
    hashing = page_hashing(again, channels)
    wire = Wire(link.page_bytes, switchover_rate)
    curve = fitted(points)
    best, expected, worst = (
        Scenario(dirtying, ratio, wire.sending(rate), hash_seconds, wire.counting(rate))
        for dirtying, ratio, rate, hash_seconds in (
            (steady(points), changed.low, link.fastest, hashing.low),
            (curve, changed.expected, link.rate, hashing.expected),
            (at_once(most_dirty(valid)), changed.high or 0, link.slowest, hashing.high or 0),
        )
    )
    # pages may have been compressed to an unknown size: then QEMU's rate may be so low that there is no end at all
    scenarios = best, expected, worst if link.weighed or compressed is False else None
    dirty = dirty_after(last, expected.dirtying)
    # on a faster link rounds are shorter than any so far: the curve holds for those only if rounds have shown a slope
    sloping = depend_on_time(points, curve)
    faster = best, expected if sloping else replace(expected, dirtying=saturated(points)), scenarios[2]
    by_bandwidth = faster if _fills_the_link(link, compressed) else ()

    def plan(skip: bool) -> Prediction:
        ends = [simulate(scenario, last, elapsed, limit, skip) for scenario in scenarios]
        return _prediction(
            ends,
            _search(lambda each: least_limit(each, last, skip, limit), scenarios),
            _search(lambda each: least_bandwidth(each, last, limit, skip, wire), by_bandwidth),
            _search(lambda each: least_throttle(each, last, limit, skip), scenarios if sloping else ()),
        )

    return Forecast(
        after_round=last.round,
        skipping=last.mode is Mode.SKIP,
        unchanged_ratio=unchanged_ratio(again),
        dirty_pages=round(dirty),
        dirty_seconds=dirty * expected.sending,
        changed_seconds=dirty * expected.changed_ratio * expected.sending,
        link_rate=link.rate,
        downtime_limit_seconds=limit,
        as_is=plan(skip=False),
        with_skip=plan(skip=True),
        limit_assumed=downtime_limit_seconds is None,
        switchover_rate=switchover_rate,
        counted_ratio=expected.counting / expected.sending,
    )


def _fills_the_link(link: Link, compressed: bool | None) -> bool:
    """Whether the link decides on the rate.

    What compresses pages may be slower than the link, and then a faster link is of no use.
    """
    return link.page_bytes >= PLAIN * WHOLE_PAGE_BYTES if compressed is None else not compressed


def _prediction(ends: Sequence[End | None], *searches: Search) -> Prediction:
    best, expected, worst = ends
    certain = len({end is None for end in ends}) == 1
    if expected is None:
        return Prediction(False, certain, None, None, *searches)
    best = best or expected

    def estimate(of: Callable[[End], float]) -> Estimate:
        low, high = of(best), None if worst is None else of(worst)
        middle = of(expected)
        return Estimate(min(low, middle), middle, None if high is None else max(high, middle))

    return Prediction(
        True, certain, estimate(lambda end: end.total_seconds), estimate(lambda end: end.downtime_seconds), *searches
    )


def _search(least: Callable[[Scenario | None], float | None], scenarios: Sequence[Scenario | None]) -> Search:
    """A search of the least value with which a plan ends, made once, at its first call.

    Args:
        least: finds it for a scenario.
        scenarios: the best, the expected and the worst one; none: there is nothing to be searched.
    """

    @functools.cache
    def search() -> Estimate | None:
        if not scenarios:
            return None
        best, expected, worst = map(least, scenarios)
        if expected is None:
            return None
        low = expected if best is None else min(best, expected)
        return Estimate(low, expected, None if worst is None else max(worst, expected))

    return search

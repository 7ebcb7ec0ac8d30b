"""Checks of what a forecast recommends: a run with more than that, which is to end, and one with less, which is not.

Each changes one thing against the base: the migration that the forecast was made of.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fakedirty.lab.migrate import Settings
from fakedirty.model.forecast import Forecast
from fakedirty.model.migration import Migration
from fakedirty.model.recommendation import Recommendation, recommendations
from fakedirty.model.round_estimates import link_of

BY = 0.15  # of the recommended value: as far above it and below it
FACTORS = (1 + BY, 1 - BY)
BANDWIDTH, LIMIT = "bandwidth", "limit"
CHANGES = (BANDWIDTH, LIMIT)
FAST_LINK = 20_000_000_000  # bits a second: `max-bandwidth` limits the rate of a run with another bandwidth
SLOWEST = 0.4  # of the base's link: a run with less bandwidth would take minutes for its first rounds
NEAR = 0.95  # of the bandwidth that was set: a run that reached less checks nothing


@dataclass(frozen=True, slots=True)
class Change:
    """What a run has instead of its base; nothing for a base.

    Attributes:
        change: `bandwidth` or `limit`; empty for a base.
        factor: the value that is set, divided by the one that was recommended.
    """

    change: str = ""
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What was recommended for one plan: bytes a second, and seconds; None where nothing was."""

    bandwidth: float | None = None
    limit_seconds: float | None = None

    def value(self, change: Change) -> float | None:
        """The value that a run with this change gets."""
        needed = self.bandwidth if change.change == BANDWIDTH else self.limit_seconds
        return None if needed is None else needed * change.factor


def needs_of(found: Forecast | None, skip: bool) -> Needs:
    """What a forecast recommends for a plan."""
    made = None if found is None else recommendations(found)
    own = Recommendation() if made is None else made.with_skip if skip else made.as_is
    bandwidth, limit = own.bandwidth_bytes_per_second, own.downtime_limit_seconds
    return Needs(bandwidth.expected if bandwidth else None, limit.expected if limit else None)


def changes(chance: random.Random, count: int) -> Iterator[tuple[int, Change]]:
    """Each change with each factor of so many bases, by the number of the base, in an order that is drawn."""
    drawn = [(number, Change(change, factor)) for number in range(count) for change in CHANGES for factor in FACTORS]
    chance.shuffle(drawn)
    yield from drawn


def changed_settings(base: Settings, change: Change, value: float) -> Settings:
    """The settings of a base, with `value` in place of what the change names."""
    if change.change == BANDWIDTH:
        return replace(base, bandwidth_bytes=round(value))
    return replace(base, downtime_limit_ms=max(1, round(value * 1000)))


def time_of(change: Change, value: float, link: float, time_limit: float) -> float | None:
    """The time that a run gets to end, in seconds: longer, as its bandwidth is less than that of the link of its base.

    Args:
        change: what it has instead.
        value: the bandwidth, or the downtime limit.
        link: bytes a second of the link of its base.
        time_limit: seconds that the base has.

    Returns:
        None if it would take too long.
    """
    if change.change != BANDWIDTH or value >= link:
        return time_limit
    return None if value < SLOWEST * link else time_limit * link / value


def longest_time(change: str, time_limit: float) -> float:
    """The longest time, in seconds, that a run with a change may get."""
    return time_limit / SLOWEST if change == BANDWIDTH else time_limit


def reached_bandwidth(migration: Migration) -> float | None:
    """Bytes a second that the fastest round had; None if no round shows that."""
    link = link_of(migration.rounds)
    return None if link is None else link.fastest

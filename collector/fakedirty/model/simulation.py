"""Simulates the rest of a migration round by round, as QEMU's migration loop runs it.

A round sends the dirty pages (with skip, only the changed ones); meanwhile the guest dirties more pages. When the
remaining pages fit the downtime limit, QEMU stops the guest and sends them.

Two times differ. Sending takes as long as the bytes on the link take: after compression, as XBZRLE deltas, zero pages
as headers. For its decision QEMU counts every page as a whole one and divides by the rate of the link
(migration_iteration_run() and migration_update_counters(), see docs/verdict.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .enums import Mode
from .round import Round
from .round_estimates import WHOLE_PAGE_BYTES
from .working_set import Dirtying

MOST_ROUNDS = 1000
ITERATION_SECONDS = 0.05  # QEMU sends for this long before it looks at the remaining pages again (MAX_WAIT)
STANDSTILL = 0.01  # of the dirty pages: a round that reduces them by less makes no progress
STANDSTILL_ROUNDS = 3  # in a row without progress: there will be no end
NO_PAGE = 0.5  # dirty pages: fewer are none, and fit a limit of 0, too
LIMITS_HALVED = 12  # times at least: down to a part in 4,096 of one that certainly holds
NO_LIMIT_SECONDS = 0.5e-3  # and down to less than QEMU's shortest limit, a millisecond
HALVINGS = 6  # of the interval that has the least value


@dataclass(frozen=True, slots=True)
class Wire:
    """What pages take on a link of any rate.

    Attributes:
        page_bytes: bytes of a sent page on the link.
        switchover_rate: bytes a second by which QEMU decides on the switchover; None: by the rate of the link.
    """

    page_bytes: float
    switchover_rate: float | None = None

    def sending(self, rate: float) -> float:
        """Seconds that a page takes on a link of `rate` bytes a second."""
        return self.page_bytes / rate

    def counting(self, rate: float) -> float:
        """Seconds that QEMU counts for a page then."""
        return WHOLE_PAGE_BYTES / (self.switchover_rate or rate)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Assumptions of a simulation.

    Attributes:
        dirtying: pages that the guest dirties in a time.
        changed_ratio: share of changed pages among dirty ones, from 0 to 1.
        sending: seconds a page takes on the link.
        hashing: seconds a page takes to be copied and hashed.
        counting: seconds that QEMU counts for a page when it decides on the switchover.
    """

    dirtying: Dirtying
    changed_ratio: float
    sending: float
    hashing: float
    counting: float

    def seconds(self, skip: bool) -> float:
        """Seconds that a dirty page takes, with skip or without."""
        return self.sending * self.changed_ratio + self.hashing if skip else self.sending

    def counted(self, skip: bool) -> float:
        """Seconds of a dirty page that QEMU compares with the downtime limit."""
        return self.counting * self.changed_ratio + self.hashing if skip else self.counting


@dataclass(frozen=True, slots=True)
class End:
    """The end of a simulated migration: seconds from its start, and seconds during which the guest is stopped."""

    total_seconds: float
    downtime_seconds: float


def dirty_after(last: Round, dirtying: Dirtying) -> float:
    """Pages that are dirty when round `last` has ended: at least those that it left, however short it was."""
    return max(dirtying(last.duration_seconds), (last.left_pages or 0) if last.valid else 0)


def simulate(scenario: Scenario | None, last: Round, elapsed: float, limit: float, skip: bool) -> End | None:
    """Simulate a migration from the end of round `last` on.

    Args:
        scenario: the assumptions; None for a worst case without any end.
        last: the last round that ended.
        elapsed: seconds from the start of the migration to the end of that round.
        limit: downtime limit in seconds.
        skip: whether skip mode is on from now on.

    Returns:
        The end; None if there is none.
    """
    if scenario is None:
        return None
    dirty = dirty_after(last, scenario.dirtying)
    # QEMU learns at the end of a round with skip on which pages it will skip; until then it counts all of them
    unaware = skip and last.mode is not Mode.SKIP
    still = 0
    for _ in range(MOST_ROUNDS):
        seconds = dirty * scenario.seconds(skip)
        if unaware and dirty * scenario.counting > limit:
            unaware = False
            elapsed, dirty = elapsed + seconds, scenario.dirtying(seconds)
            continue
        if dirty * scenario.counted(skip) <= limit or dirty < NO_PAGE:
            return End(elapsed + seconds, seconds)
        # the round ends once its remaining pages fit the limit; they are still dirty when the next one begins
        left_seconds = max(0.0, limit / scenario.counted(skip) * scenario.seconds(skip) - ITERATION_SECONDS)
        left = dirty * left_seconds / seconds
        elapsed += seconds - left_seconds
        fresh = scenario.dirtying(seconds - left_seconds)
        most = max(scenario.dirtying(math.inf), 1.0)
        before, dirty = dirty, left + fresh - min(left, most) * fresh / most
        still = still + 1 if before - dirty < STANDSTILL * before else 0
        if still == STANDSTILL_ROUNDS:
            return None
    return None


def least_limit(scenario: Scenario | None, last: Round, skip: bool, limit: float = 0.0) -> float | None:
    """The least downtime limit, in seconds, above which the migration ends.

    Args:
        scenario: the assumptions; None for a worst case without any end.
        last: the last round that ended.
        skip: whether skip mode is on from now on.
        limit: downtime limit in seconds, as it is: if the migration does not end with that, the least one is above it.

    Returns:
        0 if it ends with every limit; None for a worst case without any end.
    """
    if scenario is None:
        return None

    def ends(limit: float) -> bool:
        return simulate(scenario, last, 0.0, limit, skip) is not None

    most = max(scenario.dirtying(last.duration_seconds), scenario.dirtying(math.inf), 1.0)
    longest = 2 * most * (scenario.counting + scenario.hashing)  # this fits all pages twice: it ends at once
    halved = max(LIMITS_HALVED, math.ceil(math.log2(longest / NO_LIMIT_SECONDS)))
    return least(ends, longest, halved, 0.0 if ends(limit) else limit)


def least(ends: Callable[[float], bool], most: float, halved: int, fails: float = 0.0) -> float:
    """The least value from which on a simulation ends, to within a 64th of itself.

    It is searched from above. Rounds are whole, so a value may happen to hold below one that fails: that is not the
    least one.

    Args:
        ends: whether it ends with a value.
        most: a value with which it ends.
        halved: how often `most` is halved.
        fails: a value with which it does not end, below `most`; 0 if none is known.

    Returns:
        0 if it ends with all of these.
    """
    holds = most
    for _ in range(halved):
        if (lower := holds / 2) <= fails or not ends(lower):
            fails = max(fails, lower)
            break
        holds = lower
    if not fails:
        return 0.0
    for _ in range(HALVINGS):
        middle = (fails + holds) / 2
        fails, holds = (fails, middle) if ends(middle) else (middle, holds)
    return holds

"""The forecast of a running migration: whether it converges as it is, and whether it would with skip mode on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that may lie anywhere from `low` to `high`; `high` is None where it has no upper bound."""

    low: float
    expected: float
    high: float | None


Search = Callable[[], Estimate | None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted end of one plan: to go on without skip, or with it.

    Attributes:
        converges: an end is expected.
        certain: the best, the expected and the worst case agree on `converges`.
        total_seconds: total time from the start of the migration; None where no end is expected.
        downtime_seconds: how long the guest will be stopped; None where no end is expected.
        find_least_limit: computes `least_limit_seconds`.
        find_least_bandwidth: computes `least_bandwidth`.
        find_least_throttle: computes `least_throttle`.
    """

    converges: bool
    certain: bool
    total_seconds: Estimate | None
    downtime_seconds: Estimate | None
    find_least_limit: Search = field(repr=False, compare=False)
    find_least_bandwidth: Search = field(default=lambda: None, repr=False, compare=False)
    find_least_throttle: Search = field(default=lambda: None, repr=False, compare=False)

    @property
    def least_limit_seconds(self) -> Estimate | None:
        """The least downtime limit, in seconds, above which the plan ends; None where no limit was found.

        It is computed on demand: it takes longer than the rest of a forecast, and ten rounds may end in a second.
        """
        return self.find_least_limit()

    @property
    def least_bandwidth(self) -> Estimate | None:
        """The least bandwidth, in bytes a second, from which on the plan ends; None where none was found.

        Like the least limit, it is computed on demand.
        """
        return self.find_least_bandwidth()

    @property
    def least_throttle(self) -> Estimate | None:
        """The least throttle, from 0 to 0.99 of the guest's CPU time, from which on the plan ends.

        None where none was found, and where the rounds do not show that the guest dirties fewer pages in less time. It
        is computed on demand.
        """
        return self.find_least_throttle()


@dataclass(frozen=True, slots=True)
class Refutation:
    """A prediction that did not come true, made after `after_round` rounds.

    `total_seconds` is the predicted end, from the start of the migration; None where no end was predicted.
    """

    after_round: int
    total_seconds: Estimate | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast after `after_round` rounds.

    Attributes:
        after_round: number of the last round that it uses.
        skipping: skip mode is on now.
        unchanged_ratio: of the bytes that were sent again, or would have been without skip, the share of fake pages.
        dirty_pages: pages that are expected to be dirty after one more round as long as the last.
        dirty_seconds: seconds that sending all of them takes.
        changed_seconds: seconds that sending the changed ones among them takes.
        link_rate: bytes a second of the link.
        downtime_limit_seconds: how long the guest may be stopped.
        as_is: prediction without skip.
        with_skip: prediction with skip.
        limit_assumed: QEMU's own limit is not known, and its default was used.
        switchover_rate: bytes a second by which QEMU decides on the switchover; None if not set.
        refuted: why both predictions are withdrawn: an earlier one, from the same assumptions, did not come true.
        counted_ratio: QEMU's own estimate of the time of sending, divided by the time that it takes.
    """

    after_round: int
    skipping: bool
    unchanged_ratio: float
    dirty_pages: int
    dirty_seconds: float
    changed_seconds: float
    link_rate: float
    downtime_limit_seconds: float
    as_is: Prediction
    with_skip: Prediction
    limit_assumed: bool = False
    switchover_rate: float | None = None
    refuted: Refutation | None = None
    counted_ratio: float = 1.0

    @property
    def in_force(self) -> Prediction:
        """The prediction for the mode that is on now."""
        return self.with_skip if self.skipping else self.as_is

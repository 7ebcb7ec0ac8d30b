"""Checks predictions of a migration against the time that passes: a forecast that did not come true is withdrawn.

Each forecast is computed from the latest rounds, and so its end always lies in the future. An earlier forecast can
refute it: the end that it predicted is long overdue while the migration goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from .forecast import Estimate, Forecast, Refutation

# A prediction is overdue after twice the time that it gave the migration at worst, and one second. The forecast leaves
# out the switchover itself, and some short rounds that QEMU's own estimate of the remaining pages may cost.
LATE_FACTOR = 2.0
LATE_SECONDS = 1.0
IN_TIME = 0.8  # of the time to the predicted end: until then a later end replaces it, afterwards it counts as wrong
REVISIONS = 2  # later ends that may replace an earlier one: the first rounds of a migration show little of its guest
RECALLED_AFTER = 3  # forecasts in a row without an end recall an end that was predicted


@dataclass(frozen=True, slots=True)
class _PredictedEnd:
    """A predicted end; times in seconds since the start of the migration."""

    made: float  # when it was predicted
    after_round: int
    total_seconds: Estimate

    @property
    def worst(self) -> float:
        """The latest end that it allows for; the expected one where it has no latest."""
        return self.total_seconds.expected if self.total_seconds.high is None else self.total_seconds.high

    @property
    def overdue(self) -> float:
        return self.made + LATE_FACTOR * (self.worst - self.made) + LATE_SECONDS

    @property
    def in_time(self) -> float:
        return self.made + IN_TIME * (self.total_seconds.expected - self.made)


class ForecastCheck:
    """Keeps the predicted end of one migration that is to be checked; times are in seconds since its start.

    A prediction depends on a downtime limit, a switchover rate and a mode. When one of these changes, the earlier
    prediction is dropped.
    """

    def __init__(self) -> None:
        self._conditions: object = None
        self._predicted: _PredictedEnd | None = None
        self._revisions = 0
        self._without_end = 0  # forecasts in a row

    def take(self, found: Forecast | None, now: float, conditions: object) -> None:
        """Take in a forecast.

        Args:
            found: the forecast; None changes nothing.
            now: when it was made.
            conditions: what it depends on, to be compared with the conditions of the forecast before.
        """
        if found is None:
            return
        if (found.skipping, conditions) != self._conditions:
            self._conditions = found.skipping, conditions
            self._predicted, self._revisions, self._without_end = None, 0, 0
        before, total = self._predicted, found.in_force.total_seconds
        if total is None:
            self._without_end += 1
            in_time = before is not None and now < before.in_time and self._revisions < REVISIONS
            if in_time or self._without_end >= RECALLED_AFTER:
                self._predicted = None
                self._revisions += in_time
            return
        self._without_end = 0
        made = _PredictedEnd(now, found.after_round, total)
        if before is None or (now < before.in_time and total.expected < before.total_seconds.expected):
            self._predicted = made
        elif total.expected > before.worst and now < before.in_time and self._revisions < REVISIONS:
            self._predicted = made
            self._revisions += 1

    def refutation(self, found: Forecast, now: float) -> Refutation | None:
        """The earlier prediction that refutes `found`, of a migration that still runs at `now`; None if none does."""
        earlier = self._predicted
        if earlier is None or found.in_force.total_seconds is None or now <= earlier.overdue:
            return None
        return Refutation(earlier.after_round, earlier.total_seconds)


def refuted_by_its_end(found: Forecast) -> Refutation | None:
    """The refutation of `found`, if it predicted no end, by a migration that has completed without postcopy."""
    return None if found.in_force.converges else Refutation(found.after_round, None)

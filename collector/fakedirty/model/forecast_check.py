"""Whether what was predicted of a migration came true: a forecast that did not is withdrawn.

Each verdict is made anew from the latest rounds, and so it always puts the end into the future. What refutes it is an
earlier one: an end that was expected, and is long overdue while the migration goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from .forecast import Estimate, Forecast, Refutation

# A prediction is overdue after twice the time that it gave the migration at worst, and a second: the switchover itself,
# and QEMU's own estimate of what is left, which may cost some short rounds, are not in it.
LATE_FACTOR = 2.0
LATE_SECONDS = 1.0
IN_TIME = 0.8  # of the time to the expected end: who puts the end off later than that had been wrong, not early
REVISIONS = 2  # that may put the end off: the first rounds of a migration say little of its guest
RECALLED_AFTER = 3  # verdicts in a row without an end take back an end that was due


@dataclass(frozen=True, slots=True)
class _Promise:
    """An end that was expected; times in seconds since the start of the migration."""

    made: float
    after_round: int
    total_seconds: Estimate

    @property
    def worst(self) -> float:
        """The latest end that it allows for; where it allows for none, the expected one."""
        return self.total_seconds.expected if self.total_seconds.high is None else self.total_seconds.high

    @property
    def overdue(self) -> float:
        return self.made + LATE_FACTOR * (self.worst - self.made) + LATE_SECONDS

    @property
    def in_time(self) -> float:
        return self.made + IN_TIME * (self.total_seconds.expected - self.made)


class ForecastCheck:
    """The prediction that is in force, of one migration; times are seconds since its start.

    A prediction rests on a limit, a switchover rate and a mode: with another of these the past one is void.
    """

    def __init__(self) -> None:
        self._conditions: object = None
        self._promise: _Promise | None = None
        self._revisions = 0
        self._without_end = 0  # verdicts in a row

    def take(self, found: Forecast | None, now: float, conditions: object) -> None:
        """A verdict that was made at `now` under `conditions`, which are compared with those before."""
        if found is None:
            return
        if (found.skipping, conditions) != self._conditions:
            self._conditions = found.skipping, conditions
            self._promise, self._revisions, self._without_end = None, 0, 0
        before, total = self._promise, found.in_force.total_seconds
        if total is None:
            self._without_end += 1
            in_time = before is not None and now < before.in_time and self._revisions < REVISIONS
            if in_time or self._without_end >= RECALLED_AFTER:
                self._promise = None
                self._revisions += in_time
            return
        self._without_end = 0
        made = _Promise(now, found.after_round, total)
        if before is None or (now < before.in_time and total.expected < before.total_seconds.expected):
            self._promise = made
        elif total.expected > before.worst and now < before.in_time and self._revisions < REVISIONS:
            self._promise = made
            self._revisions += 1

    def refutation(self, found: Forecast, now: float) -> Refutation | None:
        """What speaks against `found` at `now`, of a migration that goes on; None while nothing does."""
        promise = self._promise
        if promise is None or found.in_force.total_seconds is None or now <= promise.overdue:
            return None
        return Refutation(promise.after_round, promise.total_seconds)


def refuted_by_its_end(found: Forecast) -> Refutation | None:
    """What speaks against `found`, of a migration that has completed by itself."""
    return None if found.in_force.converges else Refutation(found.after_round, None)

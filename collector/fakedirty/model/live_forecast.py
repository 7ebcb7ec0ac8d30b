"""The forecast of one migration while it runs: that of its latest rounds, and whether it has been refuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .enums import Kind
from .forecast import Forecast, Refutation
from .forecast_check import ForecastCheck, refuted_by_its_end
from .prediction import predict
from .round import Round

ROUNDS_USED = 64  # the latest rounds, for a forecast


@dataclass(frozen=True, slots=True)
class MigrationLimits:
    """Parameters of a migration, as far as they were read; None is not known, of the rate also not set.

    Attributes:
        downtime_limit_ms: how long the guest may be stopped, in milliseconds.
        switchover_rate: ``avail-switchover-bandwidth`` in bytes a second.
        channels: channels that send pages at the same time, 1 without multifd.
        compressed: multifd compresses pages.
    """

    downtime_limit_ms: int | None = None
    switchover_rate: int | None = None
    channels: int | None = None
    compressed: bool | None = None


class LiveForecast:
    """Keeps the forecast of one migration; times are in seconds since its start."""

    def __init__(self) -> None:
        # The input and the forecast that was made from it. They are set together: the thread of the observer and the
        # threads of scrapes all make forecasts.
        self._made: tuple[object, Forecast | None] = (None, None)
        self._check = ForecastCheck()
        self._checked: object = None  # the input of the forecast that was checked last
        self._now = 0.0
        self._void = False  # the migration goes on by postcopy, of which nothing was predicted
        self._refutation: Refutation | None = None  # final

    def forecast(self, rounds: Sequence[Round], limits: MigrationLimits) -> Forecast | None:
        """The forecast by the rounds before the guest was stopped; None before the end of the second round."""
        before = len(rounds)
        while before and rounds[before - 1].kind is Kind.SWITCHOVER:
            before -= 1
        if self._made[0] != (before, limits):
            seconds = None if limits.downtime_limit_ms is None else limits.downtime_limit_ms / 1e3
            used = rounds[max(0, before - ROUNDS_USED) : before]
            made = predict(used, seconds, limits.switchover_rate, limits.channels, limits.compressed)
            self._made = (before, limits), made
        found, refutation = self._made[1], self.refutation
        return found if found is None or refutation is None else replace(found, refuted=refutation)

    @property
    def refutation(self) -> Refutation | None:
        """The refutation of the latest forecast; None if it is not refuted."""
        if self._void:
            return None
        found = self._made[1]
        return self._refutation or (None if found is None else self._check.refutation(found, self._now))

    def take(self, rounds: Sequence[Round], limits: MigrationLimits) -> None:
        """A round has ended, or limits were read: make a forecast and compare it with the earlier ones."""
        if rounds and rounds[-1].kind is not Kind.SWITCHOVER:
            ended = rounds[-1].start_seconds + rounds[-1].duration_seconds
            self.tick(ended)
            if self._checked != (used := (len(rounds), limits)):  # the same forecast once more is no other one
                self._checked = used
                self._check.take(self.forecast(rounds, limits), ended, limits)

    def tick(self, now: float) -> None:
        """The migration still sends rounds at `now`."""
        self._now = max(self._now, now)

    def postcopy(self) -> None:
        """The migration goes on by postcopy."""
        self._void = True

    def completed(self, rounds: Sequence[Round], limits: MigrationLimits) -> None:
        """The migration has completed."""
        if self._refutation is None and (found := self.forecast(rounds, limits)) is not None and not self._void:
            self._refutation = found.refuted or refuted_by_its_end(found)

    def restore(self, refutation: Refutation | None) -> None:
        """Set the refutation that a recording has."""
        self._refutation = refutation

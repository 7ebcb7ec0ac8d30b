"""What is expected of one migration as it goes on: the verdict of its latest rounds, as long as nothing refutes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .enums import Kind
from .forecast import Forecast, Refutation, verdict
from .forecast_check import ForecastCheck, refuted_by_its_end
from .round import Round

LOOKED_AT = 64  # rounds, for a verdict


@dataclass(frozen=True, slots=True)
class MigrationLimits:
    """What QEMU allows a switchover, and how it sends pages; None is not known, or (of the rate) not set."""

    downtime_limit_ms: int | None = None
    switchover_rate: int | None = None  # bytes a second: avail-switchover-bandwidth
    channels: int | None = None  # that send pages at once: 1 without multifd
    compressed: bool | None = None  # by multifd


class LiveForecast:
    """Takes in what happens to a migration; times are seconds since its start."""

    def __init__(self) -> None:
        # what it was made of, and the verdict: set at once, as those who observe and those who scrape make it
        self._made: tuple[object, Forecast | None] = (None, None)
        self._forecast = ForecastCheck()
        self._now = 0.0
        self._void = False  # it goes on by postcopy: nothing was predicted of that
        self._refutation: Refutation | None = None  # for good

    def verdict(self, rounds: Sequence[Round], limits: MigrationLimits) -> Forecast | None:
        """By what was seen before the guest was stopped; None before the second round."""
        before = len(rounds)
        while before and rounds[before - 1].kind is Kind.SWITCHOVER:
            before -= 1
        if self._made[0] != (before, limits):
            seconds = None if limits.downtime_limit_ms is None else limits.downtime_limit_ms / 1e3
            looked_at = rounds[max(0, before - LOOKED_AT) : before]
            made = verdict(looked_at, seconds, limits.switchover_rate, limits.channels, limits.compressed)
            self._made = (before, limits), made
        found, refutation = self._made[1], self.refutation
        return found if found is None or refutation is None else replace(found, refuted=refutation)

    @property
    def refutation(self) -> Refutation | None:
        """What speaks against the verdict that was made last."""
        if self._void:
            return None
        found = self._made[1]
        return self._refutation or (None if found is None else self._forecast.refutation(found, self._now))

    def take(self, rounds: Sequence[Round], limits: MigrationLimits) -> None:
        """A round has ended, or QEMU's limits were read: hold the verdict against those before."""
        if rounds and rounds[-1].kind is not Kind.SWITCHOVER:
            ended = rounds[-1].start_seconds + rounds[-1].duration_seconds
            self.passed(ended)
            self._forecast.take(self.verdict(rounds, limits), ended, limits)

    def passed(self, now: float) -> None:
        """It still sends rounds at `now`."""
        self._now = max(self._now, now)

    def postcopy(self) -> None:
        """It goes on by postcopy."""
        self._void = True

    def completed(self, rounds: Sequence[Round], limits: MigrationLimits) -> None:
        """It has come to its end by itself."""
        if self._refutation is None and (found := self.verdict(rounds, limits)) is not None and not self._void:
            self._refutation = found.refuted or refuted_by_its_end(found)

    def remember(self, refutation: Refutation | None) -> None:
        """What was recorded of it."""
        self._refutation = refutation

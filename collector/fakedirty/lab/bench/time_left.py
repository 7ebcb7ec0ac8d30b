"""The time left of a migration that is over, as it was shown while it ran, and how far it was off.

The rounds and toggles of the migration are replayed through the model, as a live observation does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fakedirty.model.events import Event, LimitsRead, MigrationStarted, RoundEnded
from fakedirty.model.migration import Migration

SHARES = (0.25, 0.5, 0.75)  # of the total time


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """What was shown when a share of the total time had passed. Times are in seconds.

    Attributes:
        share: of the total time, from 0 to 1.
        outlook: the outlook, as a word.
        low: the time left at best; None where none was shown.
        expected: the expected one; None where none was shown.
        high: the time left at worst; None where there was no bound.
        left: the time that was left.
        ratio: the progress; None where none was shown.
        total: total time of the migration.
    """

    share: float
    outlook: str
    low: float | None
    expected: float | None
    high: float | None
    left: float
    ratio: float | None
    total: float

    @property
    def error(self) -> float | None:
        """The error of the expected time left as a share of the total time; None where none was shown."""
        return None if self.expected is None else (self.expected - self.left) / self.total

    @property
    def within(self) -> bool | None:
        """Whether the time that was left is in the range that was shown; None where none was shown."""
        if self.low is None:
            return None
        return self.low <= self.left and (self.high is None or self.left <= self.high)


def shown_times(of: Migration, total_seconds: float, shares: Sequence[float] = SHARES) -> list[TimeLeft]:
    """What was shown at these shares of the total time.

    Args:
        of: a migration that is over, observed or restored from a recording. Its last limits are taken for all of it:
            a recording does not have earlier ones.
        total_seconds: its total time.
        shares: of the total time, in ascending order.
    """
    again = Migration(of.vm, of.level, of.migration_id, of.start_ns, partial=of.partial)
    events = sorted(_events(of), key=lambda event: event.time_ns)
    shown = []
    for share in shares:
        now_ns = of.start_ns + round(share * total_seconds * 1e9)
        while events and events[0].time_ns <= now_ns:
            again.apply(events.pop(0))
        again.tick(now_ns)
        shown.append(_shown(again, share, total_seconds))
    return shown


def time_left_rows(of: Migration, total_seconds: float) -> list[dict[str, Any]]:
    """The same as plain rows, for the results of a benchmark."""
    return [asdict(each) for each in shown_times(of, total_seconds)]


def _events(of: Migration) -> list[Event]:
    limits: list[Event] = []
    if of.downtime_limit_ms is not None:
        known = of.downtime_limit_ms, of.switchover_rate, of.channels, of.compressed
        limits = [LimitsRead(of.start_ns, *known)]
    rounds = [RoundEnded(of.start_ns + round((r.start_seconds + r.duration_seconds) * 1e9), r) for r in of.rounds]
    return [MigrationStarted(of.start_ns, of.partial), *limits, *of.toggles, *rounds]


def _shown(at: Migration, share: float, total: float) -> TimeLeft:
    progress = at.progress
    left = progress.left_seconds
    low, expected, high = (None, None, None) if left is None else (left.low, left.expected, left.high)
    return TimeLeft(share, str(progress.outlook), low, expected, high, total * (1 - share), progress.ratio, total)

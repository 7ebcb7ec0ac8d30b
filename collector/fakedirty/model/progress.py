"""How far a migration has come, and how long it will still take, by the forecast that is in force.

A progress is the share of the expected total time that has passed. It exists from the second round on: before that
there is no total. Each forecast may put the end off or bring it forward. The time left follows; the progress does not
run backwards, it waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from .enums import StringEnum
from .forecast import Estimate, Forecast

MOST_BEFORE_THE_END = 0.99  # of the progress of a migration that has not completed
SWITCHING_OVER = frozenset({"pre-switchover", "device"})  # states in which the guest is stopped, or about to be


class Outlook(StringEnum):
    """What can be said about the end of a migration.

    UNKNOWN: nothing yet, or nothing at this level. ENDS: an end is predicted. NO_END: none is expected. WITHDRAWN: the
    forecast is refuted. SWITCHOVER: the guest is stopped. POSTCOPY: of which nothing is predicted. OVER: it has ended.
    """

    UNKNOWN = 0
    ENDS = 1
    NO_END = 2
    WITHDRAWN = 3
    SWITCHOVER = 4
    POSTCOPY = 5
    OVER = 6


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a migration at one moment.

    Attributes:
        outlook: what can be said about its end.
        ratio: the share of the expected total time that has passed, from 0 to 1. It is 1 only when the migration has
            completed. None where no end has been predicted so far, and where the start was not seen.
        elapsed_seconds: seconds from the start of the migration to the moment.
        total_seconds: the predicted end, in seconds from the start; None unless the outlook is ENDS.
        certain: of the outlooks ENDS and NO_END: all cases agree.
    """

    outlook: Outlook = Outlook.UNKNOWN
    ratio: float | None = None
    elapsed_seconds: float = 0.0
    total_seconds: Estimate | None = None
    certain: bool = False

    @property
    def left_seconds(self) -> Estimate | None:
        """Seconds to the predicted end, none of them below 0; None where no end is predicted."""
        if (total := self.total_seconds) is None:
            return None
        low, expected = (max(0.0, end - self.elapsed_seconds) for end in (total.low, total.expected))
        return Estimate(low, expected, None if total.high is None else max(0.0, total.high - self.elapsed_seconds))

    @property
    def overdue_seconds(self) -> float | None:
        """Seconds since the expected end has passed; None unless it has."""
        if self.total_seconds is None or self.elapsed_seconds <= self.total_seconds.expected:
            return None
        return self.elapsed_seconds - self.total_seconds.expected


class LiveProgress:
    """Keeps the progress of one migration. One thread calls :meth:`take`; any thread may read `latest`.

    Attributes:
        latest: the progress at the moment that was taken last.
    """

    def __init__(self) -> None:
        self.latest = Progress()

    def take(self, seconds: float, outlook: Outlook, found: Forecast | None, *, share: bool, completed: bool) -> None:
        """Take in one moment.

        Args:
            seconds: from the start of the migration; a moment before the latest one counts as the latest one.
            outlook: what can be said about the end.
            found: the forecast; None if there is none.
            share: the start was seen, so that a share of the total time can be known.
            completed: the migration has completed.
        """
        before = self.latest
        elapsed = max(before.elapsed_seconds, seconds)
        judged = outlook in (Outlook.ENDS, Outlook.NO_END)
        plan = found.in_force if found is not None and judged else None
        total = plan.total_seconds if plan and outlook is Outlook.ENDS else None
        shares = [] if before.ratio is None else [before.ratio]
        if total is not None and share:
            shares.append(min(elapsed / total.expected, MOST_BEFORE_THE_END))
        ratio = 1.0 if completed else max(shares, default=None)
        self.latest = Progress(outlook, ratio, elapsed, total, plan is not None and plan.certain)


def outlook(state: str, found: Forecast | None, *, ended: bool, stopped: bool) -> Outlook:
    """What can be said about the end of a migration.

    Args:
        state: a word of QEMU's ``MigrationStatus``.
        found: its forecast; None if there is none.
        ended: QEMU does not leave the state any more.
        stopped: the source has stopped the guest.
    """
    if ended:
        return Outlook.OVER
    if state.startswith("postcopy"):
        return Outlook.POSTCOPY
    if stopped or state in SWITCHING_OVER:
        return Outlook.SWITCHOVER
    if state != "active" or found is None:
        return Outlook.UNKNOWN
    if found.refuted is not None:
        return Outlook.WITHDRAWN
    return Outlook.NO_END if found.in_force.total_seconds is None else Outlook.ENDS

"""One migration as it is known so far: rounds, toggles, state; built from events alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from .events import (
    Event,
    EventsLost,
    FinalReport,
    GuestArrived,
    GuestContinued,
    GuestStopped,
    LimitsTold,
    MigrationStarted,
    ModeChanged,
    RoundEnded,
    StateChanged,
)
from .outlook import Limits, Outlook
from .round import Round, broken_law
from .verdict import Refutation, Verdict
from .words import Level, Mode

ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True)
class Migration:
    """A migration of one VM, seen at one level; :meth:`apply` is the only way to change it."""

    vm: str
    level: Level
    migration_id: str
    start_ns: int
    partial: bool = False
    incoming: bool = False  # the observed QEMU is its destination
    state: str = "active"
    end_ns: int | None = None
    rounds: list[Round] = field(default_factory=list)
    toggles: list[ModeChanged] = field(default_factory=list)
    lost_events: dict[str, int] = field(default_factory=dict)
    report: Mapping[str, object] = field(default_factory=dict)
    stopped_ns: int | None = None  # when the source stopped the guest, and when the destination let it run
    resumed_ns: int | None = None
    downtime_limit_ms: int | None = None  # as QEMU said last; None if it was not asked, or did not answer
    switchover_rate: int | None = None  # bytes a second by which QEMU decides on the switchover; None if not set
    process: str = ""  # the QEMU that is observed: process id and start time; empty if not known
    uuid: str = ""  # of its guest, where it has one
    _unreported_loss: int = 0
    _outlook: Outlook = field(default_factory=Outlook, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether the state is one that QEMU does not leave."""
        return self.state in ENDED

    @property
    def valid(self) -> bool:
        """Whether every round is valid and nothing was lost or missed."""
        return not self.partial and not self.lost_events and all(r.valid for r in self.rounds)

    @property
    def outside_downtime_ns(self) -> int | None:
        """From the stop on the source to the run on the destination, on the clock of this host; None unless seen."""
        return None if self.stopped_ns is None or self.resumed_ns is None else self.resumed_ns - self.stopped_ns

    def total(self, column: str) -> float | None:
        """The sum of a column over the rounds; None where any round could not see it, or there is none."""
        values: list[float | None] = [getattr(r, column) for r in self.rounds]
        seen = [value for value in values if value is not None]
        return sum(seen) if seen and len(seen) == len(values) else None

    def reported(self, *path: str) -> int | None:
        """A number of the last ``query-migrate``, such as ``reported("ram", "transferred")``; None if it has none."""
        value: object = self.report
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int) else None

    def read_back(self, toggle: ModeChanged) -> Mode | None:
        """The mode by what QEMU said next: that of the round's end, or what a later toggle within it began from.

        None if it said nothing more.
        """
        number = self.toggles.index(toggle)
        within = max(toggle.round, 1)
        for later in self.toggles[number + 1 : number + 2]:
            if max(later.round, 1) == within:
                return later.from_mode
        return next((r.mode for r in self.rounds if r.round == within), None)

    @property
    def limits(self) -> Limits:
        """What QEMU allows a switchover, as far as it was read."""
        return Limits(self.downtime_limit_ms, self.switchover_rate)

    @property
    def verdict(self) -> Verdict | None:
        """Whether it converges, and would with skip, by what was seen before the guest was stopped; see `verdict`."""
        return self._outlook.verdict(self.rounds, self.limits)

    @property
    def refuted(self) -> bool:
        """Whether the verdict is withdrawn, as what was predicted did not come true."""
        return self._outlook.refutation is not None

    def passed(self, time_ns: int) -> None:
        """It is `time_ns`, and nothing else has happened: an end that was predicted may be overdue."""
        if self.state == "active" and self.stopped_ns is None:
            self._outlook.passed((time_ns - self.start_ns) / 1e9)

    def remember(self, refutation: Refutation | None) -> None:
        """What was recorded against the verdict."""
        self._outlook.remember(refutation)

    def apply(self, event: Event) -> None:
        """Take one event in. Events come in the order in which they happened."""
        match event:
            case MigrationStarted():
                self.partial = self.partial or event.partial
            case RoundEnded():
                self.rounds.append(self._judged(event))
                self._outlook.take(self.rounds, self.limits)
            case ModeChanged():
                self.toggles.append(event)
            case StateChanged():
                self.state = event.state
                if event.state.startswith("postcopy"):
                    self._outlook.postcopy()
                if event.state == "completed":
                    self._outlook.completed(self.rounds, self.limits)
                if self.ended:
                    self.end_ns = event.time_ns
            case EventsLost():
                self.lost_events[event.where] = self.lost_events.get(event.where, 0) + event.count
                self._unreported_loss += event.count
            case GuestStopped() | GuestContinued() | GuestArrived():
                self._move(event)
            case FinalReport():
                self.report = event.info
            case LimitsTold():
                self.downtime_limit_ms, self.switchover_rate = event.downtime_limit_ms, event.switchover_rate
                self._outlook.take(self.rounds, self.limits)

    def _move(self, event: GuestStopped | GuestContinued | GuestArrived) -> None:
        """The guest stops or runs, on either side."""
        match event:
            case GuestStopped():
                self.stopped_ns, self.resumed_ns = event.time_ns, None
            case GuestContinued():
                self.stopped_ns = None
                if self.incoming and self.resumed_ns is None:  # its guest had arrived stopped
                    self.resumed_ns = event.time_ns
            case GuestArrived():
                left = self.stopped_ns is not None and event.time_ns >= self.stopped_ns
                if event.running and (left or self.incoming) and self.resumed_ns is None:
                    self.resumed_ns = event.time_ns

    def _judged(self, event: RoundEnded) -> Round:
        """The round with its losses and, if it cannot be believed, the reason."""
        lost = event.round.lost_events + self._unreported_loss
        self._unreported_loss = 0
        reasons = [event.round.invalid_reason, event.flaw, broken_law(event.round)]
        reasons += [
            f"{column}: QEMU counts {counted}, the probe {seen}"
            for column, seen in event.seen.items()
            if (counted := getattr(event.round, column)) is not None and counted != seen
        ]
        if lost:
            reasons.append(f"{lost} events lost")
        reason = "; ".join(reason for reason in reasons if reason)
        return dataclasses.replace(event.round, lost_events=lost, invalid_reason=reason)

"""The model of one migration: its rounds, toggles and state, built from events alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .dirty_rate import BlockVisits
from .downtime import Blackout, blackout
from .enums import Kind, Level, Mode
from .events import (
    Closed,
    Event,
    EventsLost,
    FinalReport,
    GuestArrived,
    GuestContinued,
    GuestStopped,
    LimitsRead,
    MigrationStarted,
    ModeChanged,
    RemainingRead,
    RoundEnded,
    RoundsComplete,
    StateChanged,
)
from .forecast import Forecast, Refutation
from .live_forecast import LiveForecast, MigrationLimits
from .progress import LiveProgress, Progress, outlook
from .round import Round, known, uncounted
from .round_check import RoundCheck
from .stall import LiveStretch, Stretch
from .switchover_log import SwitchoverLog
from .totals import Ended, Outcome, Totals, check_totals, number

ENDED = frozenset({"completed", "failed", "cancelled"})
INTERRUPTED = frozenset({"postcopy-paused", "postcopy-recover-setup", "postcopy-recover"})


@dataclass(slots=True)
class Migration:
    """A migration of one VM, observed at one level. Observers change it by :meth:`apply` and :meth:`tick` only."""

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
    stopped_ns: int | None = None  # when the source stopped the guest
    resumed_ns: int | None = None  # when the destination ran it
    downtime_limit_ms: int | None = None  # the latest that was read; None if none was
    switchover_rate: int | None = None  # bytes a second by which QEMU decides on the switchover; None if not set
    channels: int | None = None  # channels that send pages at the same time, 1 without multifd; None if not known
    compressed: bool | None = None  # multifd compresses pages; None if not known
    remaining_bytes: int | None = None  # to be sent, of RAM and devices, as QEMU reported last; None if it did not
    return_path: bool | None = None  # the source completes after the guest has arrived; None if not known
    vcpu_rates: Mapping[int, int] | None = None  # bytes a second that each vCPU dirties, by QEMU's latest word
    process: str = ""  # process id and start time of the observed QEMU; empty if not known
    uuid: str = ""  # of its guest; empty if it has none
    postcopy_ns: int | None = None  # when postcopy was first seen to be active
    interrupted: bool = False  # postcopy was
    awaits_round: bool = False  # the migration has ended, its last round has not
    totals: Totals | None = None  # None while it is observed, and on the destination
    recorded_blackout: Blackout | None = None  # that of a recording, whose steps are not known any more
    _under_way: bool = False  # it was seen in the state after setup
    _unreported: str = ""  # why the report is missing, or may belong to another migration
    _check: RoundCheck = field(default_factory=RoundCheck)
    _switchover: SwitchoverLog = field(default_factory=SwitchoverLog, repr=False, compare=False)
    _forecast: LiveForecast = field(default_factory=LiveForecast, repr=False, compare=False)
    _progress: LiveProgress = field(default_factory=LiveProgress, repr=False, compare=False)
    _stretch: LiveStretch = field(default_factory=LiveStretch, repr=False, compare=False)
    block_visits: BlockVisits = field(default_factory=BlockVisits, repr=False, compare=False)  # by page records

    @property
    def ended(self) -> bool:
        """Whether QEMU does not leave the state any more."""
        return self.state in ENDED

    @property
    def valid(self) -> bool | None:
        """Whether every round is valid, no event was lost, and all pages that QEMU sent are in the rounds.

        While it is observed, this covers what has been seen so far. None where nothing is known to be wrong, and no
        totals of QEMU confirm that nothing is missing.
        """
        if self.partial or self.lost_events or self.lacks_round or not all(r.valid for r in self.rounds):
            return False
        if self.totals is None:
            return True
        if self.totals.outcome is Outcome.UNCHECKED:
            return None
        return self.totals.outcome is Outcome.EQUAL and not self._unexplained

    @property
    def past_rounds(self) -> bool:
        """Whether its last round has ended: no more rounds come."""
        last = self.rounds[-1].kind if self.rounds else None
        return last is Kind.SWITCHOVER or self.postcopy_ns is not None

    @property
    def lacks_round(self) -> bool:
        """Whether it has ended and its last round is missing, as far as that is known."""
        return self.awaits_round and self.totals is not None and self.totals.outcome is not Outcome.EQUAL

    @property
    def reasons(self) -> list[str]:
        """Why `valid` is not true; rounds have their own reasons."""
        invalid = sum(not r.valid for r in self.rounds)
        lost = sum(self.lost_events.values())
        reasons = [
            f"{invalid} of {len(self.rounds)} rounds" if invalid else "",
            f"{lost} events lost" if lost else "",
            "joined while it ran" if self.partial else "",
            "it ended without its last round" if self.lacks_round else "",
            "" if self.totals is None else self.totals.reason,
            self._unexplained,
        ]
        return [reason for reason in reasons if reason]

    @property
    def _unexplained(self) -> str:
        """The rounds that are right only if multifd sent pages, of a migration in which it sent none."""
        if self.totals is None or self.totals.outcome is Outcome.UNCHECKED or self.reported("ram", "multifd-bytes"):
            return ""
        numbers = [
            str(r.round)
            for index, r in enumerate(self.rounds)
            if r.remark and uncounted(r) and index not in self._check.inexact
        ]
        return f"no channel counts the pages that round {', '.join(numbers)} lacks" if numbers else ""

    @property
    def outside_downtime_ns(self) -> int | None:
        """From the stop on the source to the run on the destination, by one clock; None unless both were seen."""
        return None if self.stopped_ns is None or self.resumed_ns is None else self.resumed_ns - self.stopped_ns

    @property
    def blackout(self) -> Blackout | None:
        """Where the downtime went; None before the guest has left the source, and where no part of it was seen."""
        if self.recorded_blackout is not None:
            return self.recorded_blackout
        if self.resumed_ns is None and self.state != "completed" and self.postcopy_ns is None:
            return None
        reported_ms, ram_ns = self.reported("downtime"), self.reported("switchover", "time")
        reported_ns = None if reported_ms is None or reported_ms < 0 else reported_ms * 1_000_000
        ram_ns = None if ram_ns is None or ram_ns < 0 else ram_ns
        return blackout(self._switchover, self.stopped_ns, self.resumed_ns, reported_ns, ram_ns)

    def total(self, column: str) -> float | None:
        """The sum of a column over the rounds; None if any round could not see it, or there is no round."""
        return known(self.rounds, column) if self.rounds else None

    def reported(self, *path: str) -> int | None:
        """A number of the last ``query-migrate``, such as ``reported("ram", "transferred")``; None if it has none."""
        return number(self.report, *path)

    def read_back(self, toggle: ModeChanged) -> Mode | None:
        """The mode that QEMU reported next after a toggle: at the end of the round, or before a later toggle in it.

        None if it reported none.
        """
        number = self.toggles.index(toggle)
        within = max(toggle.round, 1)
        for later in self.toggles[number + 1 : number + 2]:
            if max(later.round, 1) == within:
                return later.from_mode
        return next((r.mode for r in self.rounds if r.round == within), None)

    @property
    def limits(self) -> MigrationLimits:
        """The parameters that decide on the switchover, as far as they were read."""
        return MigrationLimits(self.downtime_limit_ms, self.switchover_rate, self.channels, self.compressed)

    @property
    def forecast(self) -> Forecast | None:
        """Whether it converges, and would with skip, by the rounds before the guest was stopped; see `prediction`."""
        return self._forecast.forecast(self.rounds, self.limits)

    @property
    def refuted(self) -> bool:
        """Whether the forecast is withdrawn because an earlier one did not come true."""
        return self._forecast.refutation is not None

    @property
    def progress(self) -> Progress:
        """How far it has come, and how long it will still take, at the latest event or tick."""
        return self._progress.latest

    @property
    def stretch(self) -> Stretch | None:
        """The latest rounds in which nothing was won; None where rounds cannot be compared, and in postcopy."""
        return self._stretch.latest if self.postcopy_ns is None else None

    def tick(self, time_ns: int) -> None:
        """It is `time_ns` on CLOCK_MONOTONIC and there is no event: a predicted end may be overdue."""
        if self.state == "active" and self.stopped_ns is None:
            self._forecast.tick((time_ns - self.start_ns) / 1e9)
        self._advance(time_ns)

    def _advance(self, time_ns: int) -> None:
        if not self.incoming:
            stopped = self.stopped_ns is not None or self.past_rounds
            expected = outlook(self.state, found := self.forecast, ended=self.ended, stopped=stopped)
            seconds, completed = (time_ns - self.start_ns) / 1e9, self.state == "completed"
            self._progress.take(seconds, expected, found, share=not self.partial, completed=completed)

    def restore_refutation(self, refutation: Refutation | None) -> None:
        """Set the refutation of the forecast that a recording has."""
        self._forecast.restore(refutation)

    def apply(self, event: Event) -> None:
        """Apply one event. Events have to come in the order in which they happened."""
        self._switchover.take(event)
        match event:
            case MigrationStarted():
                self.partial = self.partial or event.partial
            case RoundEnded():
                self.rounds.append(self._check.judged(event, len(self.rounds), partial=self.partial))
                self._stretch.take(self.rounds[-1])
                self._forecast.take(self.rounds, self.limits)
            case ModeChanged():
                self.toggles.append(event)
                self._stretch.toggle(event.round)
            case StateChanged():
                self._enter(event)
            case RoundsComplete():
                self.awaits_round = False
            case EventsLost():
                self.lost_events[event.where] = self.lost_events.get(event.where, 0) + event.count
                self._check.lost += event.count
            case GuestStopped() | GuestContinued() | GuestArrived():
                self._move(event)
            case FinalReport():
                self._take_report(event)
            case RemainingRead():
                self.remaining_bytes = event.size
            case Closed() if not self.incoming:
                # a migration that failed in its setup may have begun no round
                self.awaits_round = self.awaits_round and (self._under_way or bool(self.rounds))
                self.totals = self.check_totals()
            case LimitsRead():
                self._take_limits(event)
                self._forecast.take(self.rounds, self.limits)
        self._advance(event.time_ns)

    def _take_report(self, event: FinalReport) -> None:
        self.report, self._unreported = event.info, event.flaw
        if (remaining := self.reported("remaining")) is not None:
            self.remaining_bytes = remaining

    def _take_limits(self, event: LimitsRead) -> None:
        self.downtime_limit_ms, self.switchover_rate = event.downtime_limit_ms, event.switchover_rate
        self.vcpu_rates = event.vcpu_rates
        if self.channels is None:  # a value set during the migration is for the next one
            self.channels, self.compressed = event.channels, event.compressed
        if self.return_path is None:
            self.return_path = event.return_path

    def _enter(self, event: StateChanged) -> None:
        self.state = event.state
        self._under_way = self._under_way or event.state == "active"
        if event.state.startswith("postcopy"):
            self._forecast.postcopy()
            self.interrupted = self.interrupted or event.state in INTERRUPTED
            if self.postcopy_ns is None:
                self.postcopy_ns = event.time_ns
        if event.state == "completed":
            self._forecast.completed(self.rounds, self.limits)
        if self.ended:
            self.end_ns, self.awaits_round = event.time_ns, event.follows

    def check_totals(self) -> Totals:
        """Compare its pages, as they are now, with QEMU's totals."""
        return check_totals(self._at_its_end())

    def _at_its_end(self) -> Ended:
        moved = self.reported("ram", "postcopy-bytes") or self.reported("ram", "postcopy-requests")
        counted = [number for number in self._check.of_postcopy if self.rounds[number].normal_pages is not None]
        polled = any(r.visited_pages is None and r.normal_pages is not None for r in self.rounds)
        return Ended(
            state=self.state,
            ended=self.ended,
            rounds=[r for number, r in enumerate(self.rounds) if number not in self._check.of_postcopy],
            report=self.report,
            unreported=self._unreported,
            joined_late=self.partial,
            postcopy=self.postcopy_ns is not None or bool(moved),
            interrupted=self.interrupted,
            apart=not counted and not polled,
        )

    def _move(self, event: GuestStopped | GuestContinued | GuestArrived) -> None:
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

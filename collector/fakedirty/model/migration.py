"""One migration as it is known so far: rounds, toggles, state; built from events alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    RoundEnded,
    RoundsComplete,
    StateChanged,
)
from .forecast import Forecast, Refutation
from .live_forecast import LiveForecast, MigrationLimits
from .round import OTHER_LAWS, Round, broken_law, known, uncounted
from .totals import Ended, Outcome, Totals, check, number

# pages that multifd may hold: a packet of 128 of them for each channel that there can be, and one that is being filled
IN_CHANNELS = 256 * 128

INEXACT = "not exact by QEMU's own word: multifd and RDMA count a page where it is sent, not where it is queued"

ENDED = frozenset({"completed", "failed", "cancelled"})
INTERRUPTED = frozenset({"postcopy-paused", "postcopy-recover-setup", "postcopy-recover"})


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
    channels: int | None = None  # that send pages at once, 1 without multifd; None if QEMU did not say
    compressed: bool | None = None  # by multifd; None if QEMU did not say
    process: str = ""  # the QEMU that is observed: process id and start time; empty if not known
    uuid: str = ""  # of its guest, where it has one
    postcopy_ns: int | None = None  # when postcopy was first seen to be active
    interrupted: bool = False  # in postcopy
    awaits_round: bool = False  # it has ended, and its last round has not
    totals: Totals | None = None  # of its pages; None while it is observed, and where none are counted
    _under_way: bool = False  # it was seen to be past its setup
    _unreported_loss: int = 0
    _unreported: str = ""
    _uncounted: int = 0  # visited pages that no round counts as sent so far
    _of_postcopy: set[int] = field(default_factory=set)  # indices of rounds
    _inexact: set[int] = field(default_factory=set)  # and of those that QEMU calls so
    _outlook: LiveForecast = field(default_factory=LiveForecast, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether the state is one that QEMU does not leave."""
        return self.state in ENDED

    @property
    def valid(self) -> bool | None:
        """Whether every round is valid, nothing was lost or missed, and at the end all pages are there.

        While it is observed, as far as it goes. None where nothing is wrong, and no totals say that nothing is missing.
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
        """Whether its last round has been seen to end: what comes after it is no round."""
        last = self.rounds[-1].kind if self.rounds else None
        return last is Kind.SWITCHOVER or self.postcopy_ns is not None

    @property
    def lacks_round(self) -> bool:
        """Whether it has ended without its last round, for all that is known."""
        return self.awaits_round and self.totals is not None and self.totals.outcome is not Outcome.EQUAL

    @property
    def reasons(self) -> list[str]:
        """Why `valid` is not true, in words; whatever is wrong with single rounds is said by them."""
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
        """Rounds that are right only if multifd sent pages, where it did not."""
        if self.totals is None or self.totals.outcome is Outcome.UNCHECKED or self.reported("ram", "multifd-bytes"):
            return ""
        numbers = [
            str(r.round)
            for index, r in enumerate(self.rounds)
            if r.remark and uncounted(r) and index not in self._inexact
        ]
        return f"no channel counts the pages that round {', '.join(numbers)} lacks" if numbers else ""

    @property
    def outside_downtime_ns(self) -> int | None:
        """From the stop on the source to the run on the destination, on the clock of this host; None unless seen."""
        return None if self.stopped_ns is None or self.resumed_ns is None else self.resumed_ns - self.stopped_ns

    def total(self, column: str) -> float | None:
        """The sum of a column over the rounds; None where any round could not see it, or there is none."""
        return known(self.rounds, column) if self.rounds else None

    def reported(self, *path: str) -> int | None:
        """A number of the last ``query-migrate``, such as ``reported("ram", "transferred")``; None if it has none."""
        return number(self.report, *path)

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
    def limits(self) -> MigrationLimits:
        """What QEMU allows a switchover, as far as it was read."""
        return MigrationLimits(self.downtime_limit_ms, self.switchover_rate, self.channels, self.compressed)

    @property
    def verdict(self) -> Forecast | None:
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
                self._enter(event)
            case RoundsComplete():
                self.awaits_round = False
            case EventsLost():
                self.lost_events[event.where] = self.lost_events.get(event.where, 0) + event.count
                self._unreported_loss += event.count
            case GuestStopped() | GuestContinued() | GuestArrived():
                self._move(event)
            case FinalReport():
                self.report, self._unreported = event.info, event.flaw
            case Closed() if not self.incoming:
                # what failed in its setup may have begun no round
                self.awaits_round = self.awaits_round and (self._under_way or bool(self.rounds))
                self.totals = self.held()
            case LimitsRead():
                self.downtime_limit_ms, self.switchover_rate = event.downtime_limit_ms, event.switchover_rate
                if self.channels is None:  # set while it runs, they would be those of the next migration
                    self.channels, self.compressed = event.channels, event.compressed
                self._outlook.take(self.rounds, self.limits)

    def _enter(self, event: StateChanged) -> None:
        """Another state."""
        self.state = event.state
        self._under_way = self._under_way or event.state == "active"
        if event.state.startswith("postcopy"):
            self._outlook.postcopy()
            self.interrupted = self.interrupted or event.state in INTERRUPTED
            if self.postcopy_ns is None:
                self.postcopy_ns = event.time_ns
        if event.state == "completed":
            self._outlook.completed(self.rounds, self.limits)
        if self.ended:
            self.end_ns, self.awaits_round = event.time_ns, event.follows

    def held(self) -> Totals:
        """Its pages held against QEMU's totals, as they are now."""
        return check(self._at_its_end())

    def _at_its_end(self) -> Ended:
        moved = self.reported("ram", "postcopy-bytes") or self.reported("ram", "postcopy-requests")
        counted = [number for number in self._of_postcopy if self.rounds[number].normal_pages is not None]
        polled = any(r.visited_pages is None and r.normal_pages is not None for r in self.rounds)
        return Ended(
            state=self.state,
            ended=self.ended,
            rounds=[r for number, r in enumerate(self.rounds) if number not in self._of_postcopy],
            report=self.report,
            unreported=self._unreported,
            joined_late=self.partial,
            postcopy=self.postcopy_ns is not None or bool(moved),
            interrupted=self.interrupted,
            apart=not counted and not polled,
        )

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
        if event.postcopy:
            self._of_postcopy.add(len(self.rounds))
        if event.exact is False:
            self._inexact.add(len(self.rounds))
        remark, law = self._held_to_laws(event.round, event.exact)
        reasons = [event.round.invalid_reason, event.flaw, law]
        reasons += [
            f"{column}: QEMU counts {counted}, the probe {seen}"
            for column, seen in event.seen.items()
            if (counted := getattr(event.round, column)) is not None and counted != seen
        ]
        if lost:
            reasons.append(f"{lost} events lost")
        reason = "; ".join(reason for reason in reasons if reason)
        return dataclasses.replace(event.round, lost_events=lost, invalid_reason=reason, remark=remark)

    def _held_to_laws(self, counts: Round, exact: bool | None) -> tuple[str, str]:
        """A remark, and the law that is broken.

        While the mode is off, QEMU counts a page as visited when it is queued, and as sent when a channel of multifd
        takes it. What a round lacks, later ones have then; the end tells whether it was so. Where QEMU says itself
        which rounds are not exact, these are, with the mode on too, and no others.
        """
        late = uncounted(counts)
        strict = counts.first_pages is not None if exact is None else exact
        remark = "; ".join(filter(None, (counts.remark, INEXACT if exact is False else "")))
        if late is None or strict:
            return remark, broken_law(counts)
        self._uncounted += late
        least = -IN_CHANNELS if self.partial else 0
        if not late or not least <= self._uncounted <= IN_CHANNELS:
            return remark, broken_law(counts)
        kept = f"{late} of its pages are" if late > 0 else f"{-late} pages of earlier rounds are"
        there = "in later rounds" if late > 0 else "here"
        why = "multifd counts in its channels" if exact is None else INEXACT
        return f"{kept} counted as sent {there}: {why}", broken_law(counts, OTHER_LAWS)

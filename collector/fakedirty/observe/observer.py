"""The observer: one trace, any number of migrations, told to sinks."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fakedirty.errors import FakedirtyError
from fakedirty.model.enums import Level
from fakedirty.model.events import (
    Closed,
    DestinationFound,
    Event,
    EventsLost,
    FinalReport,
    MigrationStarted,
    StateChanged,
)
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch, Sink
from fakedirty.model.totals import Outcome
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode.reader import reader

from .interfaces import EndUnknown, EndUnseen, Observed, Reader, SetUp, Trace

POLL_SECONDS = 0.1  # while a migration runs
IDLE_SECONDS = 0.5
KEPT = 64  # migrations, of a QEMU that sees many
LIMITS_SECONDS = 10.0  # between two looks at how long the guest may be stopped
RESUME_SECONDS = 1.0  # from the end on the source to the run on the destination, at most
LAST_ROUND_SECONDS = 5.0  # from the end to the end of the last round, at most, where the one is before the other

_OVERTAKEN = "QEMU had begun another migration"

_log = logging.getLogger(__name__)


class Tap(Protocol):
    """Hears what the observer hears, to record it. What fails there raises FakedirtyError."""

    def begin(self, subject: Subject) -> None:
        """The trace has been opened."""

    def take(self, record: TraceRecord) -> None:
        """A record, before anything is made of it."""


class Observer:
    """Observes from :meth:`attach` to :meth:`close`.

    `migrations` are the last ones of those `seen`, oldest first; `valid` says whether all that are over can be
    believed, and nothing is wrong with one that was left while it ran.
    """

    def __init__(self, trace: Trace, sinks: Sequence[Sink], tap: Tap | None = None) -> None:
        self.migrations: deque[Migration] = deque(maxlen=KEPT)
        self.seen = 0
        self.valid = True
        self._trace = trace
        self._sinks = list(sinks)
        self._tap = tap
        self._current: Migration | None = None
        self._subject: Subject | None = None
        self._reader: Reader | None = None
        self.over = False  # the QEMU has ended: nothing will ever be heard again
        self._limits_ns = 0
        self._closing = False  # the migration has ended, and is not yet told to have
        self._reported: FinalReport | None = None  # QEMU's last word on it
        self._setup_ns: int | None = None  # of what comes after it
        self._latest_ns = 0  # the time of what was heard last
        self._destinations = 0
        self._losses: list[EventsLost] = []  # since the last migration began

    @property
    def trace(self) -> Trace:
        """What it hears."""
        return self._trace

    @property
    def idle(self) -> bool:
        """Whether no migration runs, or is still to be ended."""
        return self._current is None

    def attach(self) -> None:
        """Begin to observe; from the return on nothing is missed. On an error nothing is left attached."""
        self._subject = subject = self._trace.open()
        try:
            self._reader = reader(subject)
            self._tell_tap(lambda tap: tap.begin(subject))
        except BaseException:
            self._trace.close()
            raise

    def run(self, stop: Callable[[], bool], once: bool = False) -> None:
        """Observe until `stop` says so, QEMU ends, or (with `once`) a migration has ended."""
        while not stop() and not self.over:
            self.step(IDLE_SECONDS if self._current is None else POLL_SECONDS)
            if once and self._current is None and any(migration.ended for migration in self.migrations):
                return

    def step(self, timeout: float) -> None:
        """Take in what was heard; wait up to `timeout` seconds where nothing was."""
        for record in self._trace.poll(timeout):
            self._hear(record)

    def close(self) -> None:
        """Detach, and hand over a migration that still runs as it is. May be called twice."""
        self._trace.close()
        self._end(left=True)

    def _hear(self, record: TraceRecord) -> None:
        assert self._reader is not None
        if record.channel is not Channel.TICK or self._current is not None:
            self._tell_tap(lambda tap: tap.take(record))
        self._latest_ns = record.time_ns
        if record.channel is Channel.REPORT and self._closing:
            self._take_report(record)  # a trace that was recorded when it was asked for before the last round
        else:
            for observed in self._reader.take(record):
                self._take(observed)
        if record.channel is Channel.GONE:
            self._abandon(record.time_ns)
        elif record.channel is Channel.TICK:
            if self._current is not None:
                self._current.tick(record.time_ns)
            self._await_last(record.time_ns)
            if self._current is not None and record.time_ns - self._limits_ns > LIMITS_SECONDS * 1e9:
                self._look_up_limits(record.time_ns)

    def _take(self, observed: Observed) -> None:
        if isinstance(observed, EndUnseen):
            self._hear(self._trace.report("completed"))
        elif isinstance(observed, EndUnknown):
            self._end()
        elif isinstance(observed, SetUp):
            if self._closing and self._setup_ns is None:
                self._setup_ns = observed.time_ns
        elif isinstance(observed, PageBatch):
            if (migration := self._current) is not None and observed.time_ns >= migration.start_ns:
                self._tell(lambda sink: sink.pages(migration, observed))
        else:
            self._take_event(observed)

    def _take_event(self, event: Event) -> None:
        if isinstance(event, EventsLost):
            self._losses.append(event)
        if isinstance(event, MigrationStarted):
            self._begin(event)
        if isinstance(event, DestinationFound):
            self._destinations += 1
        if self._current is None:
            return
        self._apply(self._current, event)
        if self._current.ended:
            self._closing = True
            self._await_last(event.time_ns)

    def _report(self, migration: Migration) -> None:
        """QEMU's own last word on a migration that it sent."""
        report = self._trace.report(migration.state)
        self._tell_tap(lambda tap: tap.take(report))
        self._take_report(report)

    def _take_report(self, report: TraceRecord) -> None:
        """What QEMU says may be of the next migration already: then it says nothing of this one."""
        assert self._current is not None
        info = report.object()
        other = info.get("status") not in (None, self._current.state)
        flaw = f"QEMU was {info['status']} again when its totals were read" if other else ""
        self._reported = FinalReport(report.time_ns, {} if other else info, flaw)
        self._apply(self._current, self._reported)

    def _await_last(self, now_ns: int) -> None:
        """End a migration that has ended, when its last round has, or does not in time; and then its guest runs.

        A destination that is seen from here runs it: who manages QEMU may let it arrive stopped and start it a moment
        later, as libvirt does.
        """
        migration = self._current
        if migration is None or not self._closing:
            return
        waited_ns = now_ns - (migration.end_ns or 0)
        if migration.awaits_round and waited_ns <= LAST_ROUND_SECONDS * 1e9 and not self.over:
            return
        if self._reported is None and not migration.incoming:
            self._report(migration)
            # it may have been long in coming: what happened meanwhile is next
        asked = self._reported is not None and now_ns <= self._reported.time_ns
        if asked and not self.over and migration.check_totals().outcome is Outcome.MISSING:
            return  # whether another one was set up before that answer is not known yet
        seen = migration.incoming or (migration.stopped_ns is not None and self._destinations > 0)
        waited = waited_ns > RESUME_SECONDS * 1e9
        if migration.state != "completed" or not seen or migration.resumed_ns is not None or waited or self.over:
            self._end()

    def _begin(self, event: MigrationStarted) -> None:
        assert self._subject is not None
        self._end()
        seed = f"{self._subject.identity} {event.time_ns}"
        identity = hashlib.blake2b(seed.encode(), digest_size=4).hexdigest()
        migration = Migration(
            self._subject.vm,
            self._subject.level,
            identity,
            event.time_ns,
            incoming=event.incoming,
            process=self._subject.identity,
            uuid=self._subject.uuid,
        )
        self._current = migration
        self.migrations.append(migration)
        self.seen += 1
        self._tell(lambda sink: sink.started(migration))
        self._look_up_limits(event.time_ns)
        # noticed after it began, though told before: a reader that was late hears of losses first
        self._losses = [loss for loss in self._losses if loss.time_ns > event.time_ns]
        for loss in self._losses:
            self._apply(migration, loss)

    def _look_up_limits(self, now_ns: int) -> None:
        """They can be changed while it runs."""
        self._limits_ns = now_ns
        self._trace.look_up_limits()

    def _apply(self, migration: Migration, event: Event) -> None:
        migration.apply(event)
        self._tell(lambda sink: sink.changed(migration, event))

    def _abandon(self, time_ns: int) -> None:
        """QEMU is gone: a migration that it was in has failed.

        Where states are polled, it may have come to its end a moment before, unseen: managers end a QEMU that has
        handed over its guest.
        """
        assert self._subject is not None
        self.over = True
        if self._closing or self._subject.level is Level.QMP:
            self._end()
        elif (migration := self._current) is not None:
            _log.warning("QEMU ended in the middle of a migration of %s", migration.vm)
            self._take_event(StateChanged(time_ns, "failed", follows=not migration.past_rounds))

    def _end(self, *, left: bool = False) -> None:
        """Of one that runs, and is `left` so by us, what was seen is as good as it goes."""
        closing, self._closing = self._closing, False
        if (migration := self._current) is not None:
            report, next_ns = self._reported, self._setup_ns
            if closing and report is None and not migration.incoming:
                flaw = "QEMU had ended" if self.over else _OVERTAKEN
                self._apply(migration, FinalReport(self._latest_ns, {}, f"{flaw} before its totals were read"))
            elif report is not None and next_ns is not None and next_ns <= report.time_ns and not report.flaw:
                flaw = f"{_OVERTAKEN} before its totals were read"
                self._apply(migration, FinalReport(report.time_ns, report.info, flaw))
            self._apply(migration, Closed(self._latest_ns))
            self._current, self._reported, self._setup_ns = None, None, None
            unended = left and not (migration.ended or self.over)
            self.valid = self.valid and (migration.valid is True or (unended and migration.valid is None))
            self._tell(lambda sink: sink.ended(migration))

    def _tell(self, say: Callable[[Sink], None]) -> None:
        """Tell every sink in order; one that fails is not told again, and the rest go on."""
        for sink in list(self._sinks):
            try:
                say(sink)
            except FakedirtyError as error:
                self._sinks.remove(sink)
                _log.warning("%s fails and is left out from here on: %s", type(sink).__name__, error)

    def _tell_tap(self, say: Callable[[Tap], None]) -> None:
        """The same for the tap."""
        if self._tap is None:
            return
        try:
            say(self._tap)
        except FakedirtyError as error:
            self._tap = None
            _log.warning("the trace is no longer recorded: %s", error)

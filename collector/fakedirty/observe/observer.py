"""The observer: it makes migrations of the records of one trace, and reports them to sinks."""

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

from .arrival import Arrival
from .decode.interfaces import EndUnknown, EndUnseen, Observed, Reader, SetUp, Trace

POLL_SECONDS = 0.1  # while a migration runs
IDLE_SECONDS = 0.5
KEPT = 64  # migrations, of a QEMU that sees many
LIMITS_SECONDS = 5.0  # between two looks at how long the guest may be stopped
RESUME_SECONDS = 1.0  # from the end on the source to the run on the destination, at most
LAST_ROUND_SECONDS = 5.0  # from the end to the end of the last round, at most, where the one is before the other

_OVERTAKEN = "QEMU had begun another migration"

_log = logging.getLogger(__name__)


class Tap(Protocol):
    """Gets the records that the observer gets, to save them. Raises FakedirtyError if that fails."""

    def begin(self, subject: Subject) -> None:
        """The trace has been opened."""

    def take(self, record: TraceRecord) -> None:
        """A record, before the observer decodes it."""


class Observer:
    """Observes one QEMU from :meth:`attach` to :meth:`close`.

    Attributes:
        migrations: the last ones, oldest first.
        seen: how many there were.
        valid: whether all migrations that are over are valid, and one that was left while it ran is not invalid.
        over: the QEMU has ended, so no record will come any more.
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
        self.over = False
        self._limits_ns = 0
        self._closing = False  # the migration has ended, and its end is not reported to sinks yet
        self._reported: FinalReport | None = None  # QEMU's final report of it
        self._arrival: Arrival | None = None  # of its guest, if the QEMU is its destination
        self._setup_ns: int | None = None  # the setup of the migration or snapshot after it
        self._latest_ns = 0  # the time of the last record
        self._destinations = 0
        self._losses: list[EventsLost] = []  # since the last migration began

    @property
    def trace(self) -> Trace:
        """The trace whose records it gets."""
        return self._trace

    @property
    def idle(self) -> bool:
        """Whether no migration runs, and none is still to be ended."""
        return self._current is None

    def attach(self) -> None:
        """Begin to observe. From now on nothing is missed. On an error nothing is left attached."""
        self._subject = subject = self._trace.open()
        try:
            self._reader = reader(subject)
            self._save(lambda tap: tap.begin(subject))
        except BaseException:
            self._trace.close()
            raise

    def run(self, stop: Callable[[], bool], once: bool = False) -> None:
        """Observe until `stop` returns true, QEMU ends, or, with `once`, a migration has ended."""
        while not stop() and not self.over:
            self.step(IDLE_SECONDS if self._current is None else POLL_SECONDS)
            if once and self._current is None and any(migration.ended for migration in self.migrations):
                return

    def step(self, timeout: float) -> None:
        """Process the records since the last call. If there are none, wait up to `timeout` seconds."""
        for record in self._trace.poll(timeout):
            self._take_record(record)

    def close(self) -> None:
        """Detach. A migration that still runs is reported to sinks as it is. May be called twice."""
        self._trace.close()
        self._end(left=True)

    def _take_record(self, record: TraceRecord) -> None:
        assert self._reader is not None
        if record.channel is not Channel.TICK or self._current is not None:
            self._save(lambda tap: tap.take(record))
        self._latest_ns = record.time_ns
        if record.channel is Channel.REPORT and self._closing:
            self._take_report(record)  # an old trace, in which the report was read before the last round
        elif record.channel is Channel.ARRIVAL:
            self._take_arrival(record)
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
            self._take_record(self._trace.report("completed"))
        elif isinstance(observed, EndUnknown):
            self._end()
        elif isinstance(observed, SetUp):
            if self._closing and self._setup_ns is None:
                self._setup_ns = observed.time_ns
        elif isinstance(observed, PageBatch):
            if (migration := self._current) is not None and observed.time_ns >= migration.start_ns:
                migration.block_visits.take(observed.round, observed.block, observed.pages)
                self._publish(lambda sink: sink.pages(migration, observed))
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
        """Read QEMU's final report of an outgoing migration."""
        report = self._trace.report(migration.state)
        self._save(lambda tap: tap.take(report))
        self._take_report(report)

    def _take_report(self, report: TraceRecord) -> None:
        """Apply QEMU's report, unless it is about the next migration already."""
        assert self._current is not None
        info = report.object()
        other = info.get("status") not in (None, self._current.state)
        flaw = f"QEMU was {info['status']} again when its totals were read" if other else ""
        self._reported = FinalReport(report.time_ns, {} if other else info, flaw)
        self._apply(self._current, self._reported)

    def _take_arrival(self, record: TraceRecord) -> None:
        """Apply QEMU's report on a guest that has arrived; it may still fetch pages by postcopy."""
        migration = self._current
        if migration is None or self._arrival is None:
            return
        info = record.object()
        self._arrival.take(info)
        self._apply(migration, FinalReport(record.time_ns, info))
        self._await_last(record.time_ns)

    def _await_last(self, now_ns: int) -> None:
        """Report the end of a migration to sinks, when its last round has ended and its guest runs, or time is over.

        Only a destination on this host shows that the guest runs. The guest may arrive stopped and be started a moment
        later, as libvirt does it.
        """
        migration = self._current
        if migration is None or not self._closing:
            return
        if migration.incoming and not self.over and self._awaits_arrival(migration, now_ns):
            return
        waited_ns = now_ns - (migration.end_ns or 0)
        if migration.awaits_round and waited_ns <= LAST_ROUND_SECONDS * 1e9 and not self.over:
            return
        if self._reported is None and not migration.incoming:
            self._report(migration)
            # that may have taken long: records of the time meanwhile come next
        recent = self._reported is not None and now_ns <= self._reported.time_ns
        if recent and not self.over and migration.check_totals().outcome is Outcome.MISSING:
            return  # it is not known yet whether another migration was set up before that report
        observed = migration.incoming or (migration.stopped_ns is not None and self._destinations > 0)
        waited = waited_ns > RESUME_SECONDS * 1e9
        if migration.state != "completed" or not observed or migration.resumed_ns is not None or waited or self.over:
            self._end()

    def _awaits_arrival(self, migration: Migration, now_ns: int) -> bool:
        if self._arrival is None:
            self._arrival = Arrival(migration.start_ns, self._trace.look_up_arrival)
        return self._arrival.awaits(now_ns)

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
        self._publish(lambda sink: sink.started(migration))
        self._look_up_limits(event.time_ns)
        # these losses are of this migration, though their records came first: a late reader gets losses first
        self._losses = [loss for loss in self._losses if loss.time_ns > event.time_ns]
        for loss in self._losses:
            self._apply(migration, loss)

    def _look_up_limits(self, now_ns: int) -> None:
        """Read the limits again, as they can be changed while a migration runs."""
        self._limits_ns = now_ns
        self._trace.look_up_limits()

    def _apply(self, migration: Migration, event: Event) -> None:
        migration.apply(event)
        self._publish(lambda sink: sink.changed(migration, event))

    def _abandon(self, time_ns: int) -> None:
        """QEMU is gone, so a migration that was running has failed.

        If states are polled, the migration may have completed a moment before: managers end a QEMU whose guest is gone.
        """
        assert self._subject is not None
        self.over = True
        if self._closing or self._subject.level is Level.QMP:
            self._end()
        elif (migration := self._current) is not None:
            _log.warning("QEMU ended in the middle of a migration of %s", migration.vm)
            self._take_event(StateChanged(time_ns, "failed", follows=not migration.past_rounds))

    def _end(self, *, left: bool = False) -> None:
        """Report the end of the migration to sinks. `left`: it may still run, and is observed no more."""
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
            self._current, self._reported, self._setup_ns, self._arrival = None, None, None, None
            unended = left and not (migration.ended or self.over)
            self.valid = self.valid and (migration.valid is True or (unended and migration.valid is None))
            self._publish(lambda sink: sink.ended(migration))

    def _publish(self, call: Callable[[Sink], None]) -> None:
        """Call every sink in order. A sink that fails is removed."""
        for sink in list(self._sinks):
            try:
                call(sink)
            except FakedirtyError as error:
                self._sinks.remove(sink)
                _log.warning("%s has failed, and gets no more events: %s", type(sink).__name__, error)

    def _save(self, call: Callable[[Tap], None]) -> None:
        """Call the tap. If it fails, it is removed."""
        if self._tap is None:
            return
        try:
            call(self._tap)
        except FakedirtyError as error:
            self._tap = None
            _log.warning("the trace is no longer recorded: %s", error)

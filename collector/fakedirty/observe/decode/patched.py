"""The reader of level patched: trace events of a QEMU with the patch series in, events of the model out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fakedirty.model.enums import Kind, Mode
from fakedirty.model.events import (
    Event,
    EventsLost,
    MigrationStarted,
    ModeChanged,
    RoundEnded,
    RoundsComplete,
    StateChanged,
)
from fakedirty.model.migration import ENDED
from fakedirty.model.round import CLASSES, DISPOSITIONS

from . import wire
from .interfaces import SetUp
from .round_records import NOT_UNDERSTOOD, RecordedRound, RoundOnWire, recorded

_COUNTED = ("visited_pages", *CLASSES, *DISPOSITIONS)


class PatchedReader:
    """Makes events of the model of events of the kernel. `tgid` is the process id of the QEMU.

    QEMU's event of a state does not say whether the migration goes out or comes in; both have the same states. Only an
    outgoing migration has a thread of its own, which sets `active`, and only it has rounds and modes.

    QEMU sets `failed` before its cleanup ends the last round, which happens on the main thread. Each record of a round
    has the start of its migration. If that start is before the last end, the round belongs to the migration that ended.
    """

    def __init__(self, tgid: int) -> None:
        self._tgid = tgid
        self._setup_ns: int | None = None
        self._end_ns: int | None = None  # of the last migration that has ended, outgoing or incoming
        self._started_ns: int | None = None  # the start of the one that runs or ran last, by its rounds
        self._thread = 0  # the migration thread of that one
        self._running = False
        self._follows = False  # the last round of a migration that has ended is still to come
        self._closed = False  # the migration has had its last round
        self._incomplete = False  # the observer came in the middle of the open round

    def take(self, event: wire.Wire) -> Iterator[Event | SetUp]:
        """The events of the model for one event of the kernel."""
        match event:
            case wire.StateEvent():
                yield from self._state(event)
            case wire.ModeEvent():
                yield from self._mode(event)
            case wire.RoundEvent() | wire.MigrationRoundEvent():
                if (record := recorded(event)) is not None:
                    yield from self._ended(event, record)
                else:
                    yield EventsLost(event.header.time_ns, 1, NOT_UNDERSTOOD)

    def _state(self, event: wire.StateEvent) -> Iterator[Event | SetUp]:
        time_ns, state = event.header.time_ns, event.state.decode()
        if not self._running:
            if state == "setup":
                self._setup_ns = time_ns
                if self._end_ns is not None:
                    yield SetUp(time_ns)
            elif state in ENDED:  # an incoming migration, or one that failed before it began
                self._setup_ns, self._end_ns = None, time_ns
            elif state == "active" and event.header.tid != self._tgid:
                yield from self._start(event.header)
        if self._running:
            self._closed = self._closed or state.startswith("postcopy")
            ended = state in ENDED
            self._follows = ended and state != "completed" and not self._closed
            yield StateChanged(time_ns, state, self._follows)
            if ended:
                self._running, self._setup_ns, self._end_ns = False, None, time_ns

    def _mode(self, event: wire.ModeEvent) -> Iterator[Event]:
        time_ns, tid = event.header.time_ns, event.header.tid
        late = not self._running and self._setup_ns is None and self._end_ns is not None and tid == self._thread
        # a mode that is adopted in the setup has the number of the last round of the migration before
        number = 0 if not self._running and self._setup_ns is not None else event.round
        if not late:
            yield from self._start(event.header)
        modes = [Mode(Mode.parse(word.decode())) for word in (event.from_mode, event.to_mode)]
        yield ModeChanged(time_ns, number, modes[0], modes[1], event.hash.decode() or None)

    def _ended(self, event: RoundOnWire, record: RecordedRound) -> Iterator[Event]:
        started_ns = record.migration_start_ns
        by_main = event.header.tid == self._tgid  # the main thread ends the last round of a migration that is over
        if self._end_ns is not None and started_ns <= self._end_ns:
            if self._follows and not self._running and self._started_ns in (None, started_ns):
                # a thread of multifd may have set the state while the migration thread was still to end a round
                self._follows = not (by_main or record.round.kind is Kind.SWITCHOVER)
                yield self._round(event, record)
                if not self._follows:
                    yield RoundsComplete(event.header.time_ns)
            return
        if by_main and not self._running:
            return
        if self._running and self._started_ns not in (None, started_ns):
            self._running = False  # the probes missed its end and the setup of this one
        yield from self._start(event.header)
        self._started_ns = started_ns
        self._closed = by_main or record.round.kind is Kind.SWITCHOVER
        yield self._round(event, record)

    def _start(self, header: wire.EventHeader) -> Iterator[Event]:
        if self._running:
            return
        self._running, self._closed = True, False
        self._started_ns, self._thread = None, header.tid
        self._incomplete = self._setup_ns is None
        yield MigrationStarted(self._setup_ns or header.time_ns, partial=self._incomplete)
        self._setup_ns = None

    def _round(self, event: RoundOnWire, record: RecordedRound) -> RoundEnded:
        flaw = "the observer came in the middle of this round" if self._incomplete else ""
        trusted = record.classified and not flaw
        counted = {column: int(getattr(event.counted, column)) for column in _COUNTED} if trusted else {}
        self._incomplete = False
        return RoundEnded(event.header.time_ns, record.round, counted, flaw, exact=record.exact)

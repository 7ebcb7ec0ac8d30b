"""The reader of each level: records of a trace in, events of the model out. Pure."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any

from fakedirty.errors import UsageError
from fakedirty.model.enums import Level
from fakedirty.model.events import (
    DestinationFound,
    GuestArrived,
    GuestContinued,
    GuestStopped,
    LimitsRead,
    MigrationStarted,
    StateChanged,
)
from fakedirty.model.sink import PageBatch
from fakedirty.model.trace import REQUEST_NS, Channel, Subject, TraceRecord
from fakedirty.qmp.rounds_command import in_answers
from fakedirty.qmp.validation import parsing_answers

from . import wire
from .interfaces import EndUnseen, Observed, Reader
from .losses import LossReader
from .multifd import channels, compressed
from .pages import PageNames
from .patched import PatchedReader
from .qmp_history import HistoryReader
from .qmp_stock import PollReader
from .return_path import return_path
from .stock import StockReader
from .switchover import Step, steps
from .vcpu_rates import vcpu_rates

# run states that show that a guest has arrived; after any other one the QEMU has waited in vain
_ARRIVED = ("running", "paused", "suspended")


def reader(subject: Subject) -> Reader:
    """A new reader for one QEMU. Raises UsageError if the facts are not those of its level."""
    if subject.level is Level.QMP:
        # a QEMU that was started without -incoming never is a destination; older traces do not have this fact
        return LimitsReader(QmpTraceReader(may_receive=bool(subject.facts.get("may_receive", True))))
    return LimitsReader(RunStateReader(_reader(subject)))


def _reader(subject: Subject) -> Reader:
    facts: Mapping[str, Any] = subject.facts
    try:
        match subject.level:
            case Level.PATCHED:
                return PatchedTraceReader(PatchedReader(int(facts["tgid"])))
            case _:
                names = tuple(str(name) for name in facts["states"])
                sees_xbzrle, can_skip = bool(facts["sees_xbzrle"]), bool(facts["can_skip"])
                sample = int(facts["sample"])
                events = StockReader(names, subject.level, sees_xbzrle=sees_xbzrle, can_skip=can_skip, sample=sample)
                blocks = [(str(name), int(address), int(length)) for name, address, length in facts["blocks"]]
                return StockTraceReader(events, PageNames(blocks))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"facts of level {subject.level} are missing or wrong: {error}") from error


class LimitsReader:
    """Adds limits and channels, which QEMU reports by QMP, to the events of another reader."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By channel."""
        if record.channel is not Channel.LIMITS:
            yield from self._inner.take(record)
        elif isinstance(limit := (answer := record.object()).get("downtime-limit"), int):
            rate = answer.get("avail-switchover-bandwidth")
            rate = rate if isinstance(rate, int) and rate > 0 else None
            on = channels(answer), compressed(answer)
            yield LimitsRead(record.time_ns, limit, rate, *on, return_path(answer), vcpu_rates(answer))


class PatchedTraceReader:
    """The reader of level patched: events, page records and losses."""

    def __init__(self, events: PatchedReader) -> None:
        self._events = events
        self._losses = LossReader()

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By channel."""
        match record.channel:
            case Channel.EVENT:
                yield from self._events.take(wire.decode(record.data))
            case Channel.PAGES:
                yield page_batch(record.data)
            case Channel.LOST:
                yield from self._losses.take(record.time_ns, wire.unpack_losses(record.data))


class StockTraceReader:
    """The reader of levels stock and usdt: events, page records, losses, and the time.

    If no event shows the end of a migration, the reader wants QEMU's report (EndUnseen).

    RAM blocks are found for several batches at once. For one batch at a time this would take most of the time that a
    page record takes.
    """

    def __init__(self, events: StockReader, names: PageNames) -> None:
        self._events = events
        self._names = names
        self._losses = LossReader()
        self._unnamed: list[PageBatch] = []

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By channel."""
        if record.channel is Channel.PAGES:
            self._unnamed.append(page_batch(record.data))
        elif self._unnamed:
            batches, self._unnamed = self._unnamed, []
            yield from self._names.named(batches)
        match record.channel:
            case Channel.EVENT:
                event = wire.decode(record.data)
                assert isinstance(event, wire.StockEvent)
                yield from self._events.take(event)
            case Channel.LOST:
                yield from self._losses.take(record.time_ns, wire.unpack_losses(record.data))
            case Channel.TICK if self._events.overdue(record.time_ns):
                yield EndUnseen()
            case Channel.REPORT:
                yield from self._events.end(str(record.object().get("status", "unknown")))


class QmpTraceReader:
    """The reader of level qmp: answers of a QEMU with or without the patch series."""

    def __init__(self, may_receive: bool = True) -> None:
        self._history = HistoryReader()
        self._polled = PollReader(may_receive)

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By the commands that are answered."""
        if record.channel is not Channel.ANSWERS:
            return
        answers = record.object()
        with parsing_answers("the QMP socket"):
            yield from self._answers(record.time_ns, answers)

    def _answers(self, time_ns: int, answers: Mapping[str, Any]) -> Iterator[Observed]:
        if (info := answers.get("query-migrate")) is None:  # it could end this QEMU, so it was not sent
            yield from self._polled.skip_look(time_ns)
            return
        run_state = answers["query-status"]["status"] if "query-status" in answers else None
        history = in_answers(answers)
        # a background snapshot is an outgoing migration, but has no rounds in the history
        if history is None or not int(history.get("migration-start", 0)):
            yield from self._polled.take(time_ns, info, run_state, answers.get(REQUEST_NS))
        else:
            self._polled.ignore(info, run_state)
        if history is not None:
            yield from self._history.take(time_ns, info, history)


class RunStateReader:
    """Adds run states to the events of another reader: the source stops, a destination on this host runs.

    It adds the steps of the switchover, too, by the same QEMUs. The observed QEMU may itself be a destination. The
    arrival of its guest then is a migration without rounds, and what it loaded before belongs to that.
    """

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._peers: dict[int, Mapping[str, Any]] = {}
        self._waiting = False
        self._loaded: list[Step] = []  # while the observed QEMU waits for a guest

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By channel."""
        match record.channel:
            case Channel.PEER:
                peer = record.object()
                self._peers[int(peer["pid"])] = peer
                if peer["role"] == "destination":
                    yield DestinationFound(record.time_ns, str(peer["vm"]))
                else:
                    self._waiting = bool(peer.get("waiting", False))
            case Channel.RUNSTATE:
                event = wire.RunStateEvent.from_buffer_copy(record.data)
                if (peer := self._peers.get(event.pid)) is not None and event.state < len(peer["states"]):
                    yield from self._changed(peer, record.time_ns, str(peer["states"][event.state]))
            case Channel.SWITCHOVER:
                yield from self._step(wire.SwitchoverEvent.from_buffer_copy(record.data))
            case _:
                yield from self._inner.take(record)

    def _changed(self, peer: Mapping[str, Any], time_ns: int, state: str) -> Iterator[Observed]:
        if state == "inmigrate":
            return
        if peer["role"] == "source":
            waited, self._waiting = self._waiting, False
            loaded, self._loaded = self._loaded, []
            if waited and state in _ARRIVED:
                yield MigrationStarted(time_ns, incoming=True)
                yield from loaded
                yield GuestArrived(time_ns, running=state == "running")
                yield StateChanged(time_ns, "completed")
            elif state == "running":
                yield GuestContinued(time_ns)
            elif state == "finish-migrate":
                yield GuestStopped(time_ns)
        elif self._is_the_destination(peer):
            yield GuestArrived(time_ns, running=state == "running")

    def _step(self, event: wire.SwitchoverEvent) -> Iterator[Observed]:
        """A step of the observed QEMU or of its destination."""
        if (peer := self._peers.get(event.pid)) is None:
            return
        if peer["role"] == "source" and self._waiting:
            self._loaded += steps(event)
        elif peer["role"] == "source" or self._is_the_destination(peer):
            yield from steps(event)

    def _is_the_destination(self, peer: Mapping[str, Any]) -> bool:
        """Whether a QEMU is the destination of the observed one.

        If both have a UUID, these must be equal. If several QEMUs wait, the name of the VM decides, and if that does
        not, none of them is.
        """
        source = next((each for each in self._peers.values() if each["role"] == "source"), peer)
        uuid = source.get("uuid", "")  # older traces do not have it
        others = [
            each
            for each in self._peers.values()
            if each["role"] == "destination" and uuid in ("", each.get("uuid") or uuid)
        ]
        named = [each for each in others if each["vm"] == source["vm"]]
        return (named or others) == [peer]


def page_batch(raw: bytes | memoryview) -> PageBatch:
    """The page records of an event of the ring buffer."""
    head = wire.BatchEvent.from_buffer_copy(raw)
    start = ctypes.sizeof(wire.BatchEvent)
    length = head.count * wire.PAGE_RECORD.itemsize
    return PageBatch(head.header.time_ns, head.block.decode(), head.round, raw[start : start + length])

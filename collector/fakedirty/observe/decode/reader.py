"""The reader of each level, from the records of a trace to events of the model. Pure."""

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
from fakedirty.observe.bpf.loss_counters import LossReader
from fakedirty.observe.interfaces import EndUnseen, Observed, Reader
from fakedirty.qmp.rounds_command import in_answers
from fakedirty.qmp.validation import parsing_answers

from . import wire
from .multifd import channels, compressed
from .pages import PageNames
from .patched import PatchedReader
from .qmp_history import HistoryReader
from .qmp_stock import PollReader
from .stock import StockReader

_ARRIVED = ("running", "paused", "suspended")  # what a QEMU that waited is next; anything else, and it waited in vain


def reader(subject: Subject) -> Reader:
    """A fresh reader for one QEMU; UsageError where the facts are not those of its level."""
    if subject.level is Level.QMP:
        # a QEMU that was started without -incoming never is a destination; unknown of traces that do not say
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
    """Another reader, and what QEMU was told of its limits and its channels beside it."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By channel."""
        if record.channel is not Channel.LIMITS:
            yield from self._inner.take(record)
        elif isinstance(limit := record.object().get("downtime-limit"), int):
            rate = record.object().get("avail-switchover-bandwidth")
            rate = rate if isinstance(rate, int) and rate > 0 else None
            yield LimitsRead(record.time_ns, limit, rate, channels(record.object()), compressed(record.object()))


class PatchedTraceReader:
    """Events, page records and losses."""

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
    """Events, page records and losses, and the time: an end that no event told is asked for.

    Batches that follow each other are given their blocks' names together: one by one it would take the larger part of
    the time of a page record.
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
    """Answers, of a QEMU with the series or without."""

    def __init__(self, may_receive: bool = True) -> None:
        self._history = HistoryReader()
        self._polled = PollReader(may_receive)

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """By the commands that were answered."""
        if record.channel is not Channel.ANSWERS:
            return
        answers = record.object()
        with parsing_answers("the QMP socket"):
            yield from self._said(record.time_ns, answers)

    def _said(self, time_ns: int, answers: Mapping[str, Any]) -> Iterator[Observed]:
        if (info := answers.get("query-migrate")) is None:  # it may end this QEMU, and was not asked
            yield from self._polled.lose_sight(time_ns)
            return
        run_state = answers["query-status"]["status"] if "query-status" in answers else None
        history = in_answers(answers)
        # a background snapshot leaves as a migration, and has no rounds for the history to keep
        if history is None or not int(history.get("migration-start", 0)):
            yield from self._polled.take(time_ns, info, run_state, answers.get(REQUEST_NS))
        else:
            self._polled.pass_over(info, run_state)
        if history is not None:
            yield from self._history.take(time_ns, info, history)


class RunStateReader:
    """Another reader, and what guests do beside it: the source stops, a destination of this host runs.

    The observed QEMU may itself be one: the arrival of its guest is a migration of its own then, without rounds.
    """

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._peers: dict[int, Mapping[str, Any]] = {}
        self._waiting = False

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
            case _:
                yield from self._inner.take(record)

    def _changed(self, peer: Mapping[str, Any], time_ns: int, state: str) -> Iterator[Observed]:
        if state == "inmigrate":
            return
        if peer["role"] == "source":
            waited, self._waiting = self._waiting, False
            if waited and state in _ARRIVED:
                yield MigrationStarted(time_ns, incoming=True)
                yield GuestArrived(time_ns, running=state == "running")
                yield StateChanged(time_ns, "completed")
            elif state == "running":
                yield GuestContinued(time_ns)
            elif state == "finish-migrate":
                yield GuestStopped(time_ns)
        elif self._is_the_destination(peer):
            yield GuestArrived(time_ns, running=state == "running")

    def _is_the_destination(self, peer: Mapping[str, Any]) -> bool:
        """By the name of its VM, where several wait; none of them, where that does not tell.

        Where both have a UUID, another one than the source's is that of another guest, whatever it is called.
        """
        source = next((each for each in self._peers.values() if each["role"] == "source"), peer)
        uuid = source.get("uuid", "")  # which older traces do not have
        others = [
            each
            for each in self._peers.values()
            if each["role"] == "destination" and uuid in ("", each.get("uuid") or uuid)
        ]
        named = [each for each in others if each["vm"] == source["vm"]]
        return (named or others) == [peer]


def page_batch(raw: bytes | memoryview) -> PageBatch:
    """Page records, as they came from the ring buffer."""
    head = wire.BatchEvent.from_buffer_copy(raw)
    start = ctypes.sizeof(wire.BatchEvent)
    length = head.count * wire.PAGE_RECORD.itemsize
    return PageBatch(head.header.time_ns, head.block.decode(), head.round, raw[start : start + length])

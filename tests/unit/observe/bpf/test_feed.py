"""Records on their way from the thread that reads to the observer of one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.bpf.dispatcher import Dispatcher
from fakedirty.observe.bpf.feed import ProcessFeed

PATIENCE_SECONDS = 20


def event(time_ns: int) -> TraceRecord:
    return TraceRecord(time_ns, Channel.EVENT, b"event")


def pages(time_ns: int, size: int = 100) -> TraceRecord:
    return TraceRecord(time_ns, Channel.PAGES, bytes(size))


def test_records_come_in_their_order_and_once() -> None:
    feed = ProcessFeed(1, budget=1000)
    feed.put([pages(1), event(2)])
    feed.put([event(3)])
    assert [record.time_ns for record in feed.take(0)] == [1, 2, 3]
    assert feed.take(0) == []


def test_page_records_beyond_the_budget_are_counted_and_events_are_not_dropped() -> None:
    feed = ProcessFeed(1, budget=250)
    feed.put([pages(1), pages(2), pages(3), event(4)])
    assert feed.late == 1
    feed.put([pages(5), event(6)])
    assert feed.late == 2
    assert [record.time_ns for record in feed.take(0)] == [1, 2, 4, 6]
    feed.put([pages(7)])
    assert feed.late == 2, "there is room again"
    assert len(feed.take(0)) == 1


def test_who_waits_is_woken() -> None:
    feed = ProcessFeed(1, budget=1000)
    taken: list[TraceRecord] = []
    thread = threading.Thread(target=lambda: taken.extend(feed.take(PATIENCE_SECONDS)))
    thread.start()
    feed.put([event(1)])
    thread.join(PATIENCE_SECONDS)
    assert [record.time_ns for record in taken] == [1]


def test_readiness_is_told_each_time() -> None:
    feed, calls = ProcessFeed(1, budget=1000), []
    feed.ready = lambda: calls.append(len(calls))
    feed.put([event(1)])
    feed.put([event(2)])
    assert calls == [0, 1]


class Pipe:
    """A source that can be read while something is in a pipe."""

    def __init__(self) -> None:
        self.end, self.other = os.pipe2(os.O_NONBLOCK)
        self.drained = threading.Event()
        self.fault: Exception | None = None

    def fileno(self) -> int:
        return self.end

    def drain(self) -> None:
        try:
            os.read(self.end, 100)
        except BlockingIOError:
            return
        self.drained.set()
        if self.fault:
            raise self.fault

    def close(self) -> None:
        os.close(self.end)
        os.close(self.other)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher()
    yield dispatcher
    dispatcher.close()


def test_a_fault_in_one_source_keeps_no_other_from_being_drained(dispatcher: Dispatcher) -> None:
    faulty, sound = Pipe(), Pipe()
    faulty.fault = RuntimeError("ours")
    for pipe in (faulty, sound):
        dispatcher.add(pipe)
    for pipe in (faulty, sound):
        os.write(pipe.other, b"x")
        assert pipe.drained.wait(PATIENCE_SECONDS)
        dispatcher.remove(pipe)
    os.write(sound.other, b"x")
    sound.drained.clear()
    dispatcher.flush()
    assert not sound.drained.is_set(), "it has been removed"
    for pipe in (faulty, sound):
        pipe.close()


def test_the_end_of_a_process_is_told_once(dispatcher: Dispatcher) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    process, ended, calls = os.pidfd_open(child), threading.Event(), []

    def note() -> None:
        calls.append(1)
        ended.set()

    dispatcher.watch(process, note)
    assert ended.wait(PATIENCE_SECONDS)
    os.waitpid(child, 0)
    dispatcher.unwatch(process)
    dispatcher.unwatch(process)
    os.close(process)
    assert calls == [1]

"""QEMUs that nobody started: each is observed on its own, and tried again where that fails."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.model.enums import Level
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.fleet import Fleet
from fakedirty.observe.host.target import Target
from fakedirty.observe.observer import Observer

PATIENCE_SECONDS = 20


class Quiet:
    """A trace in which nothing happens until `gone`; `stuck` ones never come back from listening before that."""

    def __init__(self, target: Target, stuck: bool = False) -> None:
        self.target = target
        self.gone = threading.Event()
        self.polls = 0
        self.closed = False
        self._stuck = stuck

    def open(self) -> Subject:
        """A subject."""
        facts = {"states": [], "sees_xbzrle": True, "can_skip": False, "sample": 1, "blocks": []}
        return Subject(self.target.vm, Level.STOCK, str(self.target.pid), facts)

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """Nothing, or the end."""
        self.polls += 1
        self.gone.wait(PATIENCE_SECONDS if self._stuck else 0.01)
        return [TraceRecord(1, Channel.GONE if self.gone.is_set() else Channel.TICK)]

    def listen(self, ready: Callable[[], None]) -> bool:
        """It has to be polled."""
        return False

    def report(self, state: str) -> TraceRecord:
        """Nothing."""
        return TraceRecord(1, Channel.REPORT, b"{}")

    def look_up_limits(self) -> None:
        """Nobody answers."""

    def look_up_arrival(self) -> None:
        """Nobody answers."""

    def close(self) -> None:
        """It is."""
        self.closed = True


def target(proc: Path, pid: int) -> Target:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_text("qemu")
    return Target(pid, f"vm{pid}", Path("exe"), "qemu", 1, (), proc)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(fleet: Fleet, stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=lambda: (fleet.run(stop.is_set), fleet.close()))
    thread.start()
    return thread


def test_one_that_is_stuck_keeps_no_other_from_being_heard(tmp_path: Path) -> None:
    targets = [target(tmp_path, pid) for pid in (1, 2)]
    traces = {each.pid: Quiet(each, stuck=each.pid == 1) for each in targets}
    joined: list[str] = []
    left: list[str] = []
    fleet = Fleet(
        lambda each: Observer(traces[each.pid], []),
        find=lambda: targets,
        attached=lambda each: joined.append(each.vm),
        parted=lambda each: left.append(each.vm),
    )
    stop = threading.Event()
    thread = running(fleet, stop)
    wait(lambda: traces[2].polls > 20)
    assert sorted(joined) == ["vm1", "vm2"]
    assert traces[1].polls == 1
    assert len(fleet.observers) == 2
    traces[1].gone.set()
    wait(lambda: left == ["vm1"])
    assert traces[1].closed
    stop.set()
    thread.join()
    assert left == ["vm1", "vm2"]
    assert fleet.valid


def test_one_that_could_not_be_observed_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = target(tmp_path, 1)
    faults: list[Exception] = [TargetError("not yet"), TargetError("not yet"), RuntimeError("ours")]
    trace = Quiet(one)

    def make(each: Target) -> Observer:
        if faults:
            raise faults.pop(0)
        return Observer(trace, [])

    fleet, stop = Fleet(make, find=lambda: [one], retry_seconds=0.01), threading.Event()
    with caplog.at_level(logging.WARNING):
        thread = running(fleet, stop)
        wait(lambda: len(fleet.observers) == 1)
        stop.set()
        thread.join()
    assert [record.getMessage() for record in caplog.records] == [
        "vm1 (pid 1) is not observed: not yet",  # and not once more for the same
        "vm1 (pid 1) is not observed, a fault of fakedirty",
    ]


def test_one_that_is_gone_is_not_tried_again(tmp_path: Path) -> None:
    one = target(tmp_path, 1)
    tried = threading.Event()

    def make(each: Target) -> Observer:
        (tmp_path / "1" / "cmdline").write_text("")  # its entry is there until its parent has looked
        tried.set()
        raise TargetError("it has just ended")

    fleet, stop = Fleet(make, find=lambda: [one] if one.runs else [], retry_seconds=3600), threading.Event()
    thread = running(fleet, stop)
    assert tried.wait(PATIENCE_SECONDS)
    wait(lambda: not any(each.name == "QEMU 1" for each in threading.enumerate()))
    stop.set()
    thread.join()


class Woken(Quiet):
    """A trace that says when there is something; `stuck` ones never come back from the first look."""

    def __init__(self, target: Target, stuck: bool = False) -> None:
        super().__init__(target)
        self.ready: Callable[[], None] = lambda: None
        self.release = threading.Event()
        self._holds = stuck

    def listen(self, ready: Callable[[], None]) -> bool:
        """It will."""
        self.ready = ready
        ready()
        return True

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """Nothing, or the end."""
        assert timeout == 0
        self.polls += 1
        if self._holds:
            self.release.wait(PATIENCE_SECONDS)
        return [TraceRecord(1, Channel.GONE if self.gone.is_set() else Channel.TICK)]


def test_those_that_are_woken_take_no_thread_and_no_look_while_nothing_happens(tmp_path: Path) -> None:
    targets = [target(tmp_path, pid) for pid in range(1, 41)]
    traces = {each.pid: Woken(each) for each in targets}
    left: list[str] = []
    fleet = Fleet(lambda each: Observer(traces[each.pid], []), find=lambda: targets, parted=lambda t: left.append(t.vm))
    stop = threading.Event()
    thread = running(fleet, stop)
    wait(lambda: len(fleet.observers) == len(targets) and all(trace.polls for trace in traces.values()))
    time.sleep(0.3)
    looks = {pid: trace.polls for pid, trace in traces.items()}
    time.sleep(1)
    assert {pid: trace.polls for pid, trace in traces.items()} == looks
    assert not [each for each in threading.enumerate() if each.name.startswith("QEMU")]
    traces[7].ready()
    wait(lambda: traces[7].polls > looks[7])
    traces[9].gone.set()
    traces[9].ready()
    wait(lambda: left == ["vm9"])
    assert traces[9].closed
    stop.set()
    thread.join()
    assert len(left) == len(targets), "each of them once"
    assert all(trace.closed for trace in traces.values())


def test_one_that_is_stuck_in_a_look_keeps_no_other_from_being_woken(tmp_path: Path) -> None:
    targets = [target(tmp_path, pid) for pid in (1, 2)]
    traces = {each.pid: Woken(each, stuck=each.pid == 1) for each in targets}
    fleet = Fleet(lambda each: Observer(traces[each.pid], []), find=lambda: targets)
    stop = threading.Event()
    thread = running(fleet, stop)
    wait(lambda: traces[1].polls == 1 and traces[2].polls >= 1)
    traces[1].ready()  # while it is at it: it has to look once more
    before = traces[2].polls
    traces[2].ready()
    wait(lambda: traces[2].polls > before)
    assert traces[1].polls == 1
    traces[1].release.set()
    wait(lambda: traces[1].polls >= 2)
    stop.set()
    thread.join()


def test_a_fault_after_attaching_is_logged_and_it_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = target(tmp_path, 1)
    traces: list[Woken] = []
    faults = [RuntimeError("ours")]

    def make(each: Target) -> Observer:
        traces.append(Woken(each))
        return Observer(traces[-1], [])

    def attached(_each: Target) -> None:
        if faults:
            raise faults.pop()

    fleet, stop = Fleet(make, find=lambda: [one], attached=attached, retry_seconds=0.01), threading.Event()
    thread = running(fleet, stop)
    wait(lambda: len(traces) == 2 and traces[1].polls > 0)
    assert traces[0].closed
    stop.set()
    thread.join()
    assert "a fault of fakedirty" in caplog.text


def test_one_that_has_ended_and_is_still_found_is_not_observed_again(tmp_path: Path) -> None:
    one = target(tmp_path, 1)
    traces: list[Woken] = []
    found, searches = [one], []

    def make(each: Target) -> Observer:
        traces.append(Woken(each))
        return Observer(traces[-1], [])

    def find() -> list[Target]:
        searches.append(1)
        return found

    fleet, stop = Fleet(make, find=find, retry_seconds=0), threading.Event()
    thread = running(fleet, stop)
    wait(lambda: len(traces) == 1 and traces[0].polls > 0)
    traces[0].gone.set()
    traces[0].ready()
    wait(lambda: traces[0].closed)
    before = len(searches)
    wait(lambda: len(searches) > before + 2)  # its parent has not looked, so that it has an entry yet
    assert len(traces) == 1
    found.clear()
    before = len(searches)
    wait(lambda: len(searches) > before + 2)
    assert not fleet._members, "nothing is kept of it"
    stop.set()
    thread.join()


class EndsAtOnce(Woken):
    """Its process ends while it begins to listen."""

    def listen(self, ready: Callable[[], None]) -> bool:
        """It is woken, and there is something to do yet."""
        self.gone.set()
        ready()
        time.sleep(0.2)
        assert not self.closed
        return True


def test_one_that_ends_while_it_is_attached_is_closed_after_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = target(tmp_path, 1)
    trace = EndsAtOnce(one)
    fleet, stop = Fleet(lambda each: Observer(trace, []), find=lambda: [one]), threading.Event()
    thread = running(fleet, stop)
    wait(lambda: trace.closed)
    stop.set()
    thread.join()
    assert trace.polls == 1
    assert not caplog.records


def test_one_that_cannot_be_closed_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = target(tmp_path, 1)
    traces: list[Woken] = []
    faults = [RuntimeError("ours, in a look"), RuntimeError("and in closing")]

    class Faulty(Woken):
        def poll(self, timeout: float) -> Sequence[TraceRecord]:
            if len(faults) == 2:
                raise faults.pop(0)
            return super().poll(timeout)

        def close(self) -> None:
            super().close()
            if len(faults) == 1:
                raise faults.pop()

    def make(each: Target) -> Observer:
        traces.append(Faulty(each))
        return Observer(traces[-1], [])

    fleet, stop = Fleet(make, find=lambda: [one], retry_seconds=0.01), threading.Event()
    thread = running(fleet, stop)
    wait(lambda: len(traces) == 2 and traces[1].polls > 0)
    stop.set()
    thread.join()
    assert "a fault of fakedirty" in caplog.text


@pytest.mark.parametrize("kind", [Quiet, Woken])
def test_one_that_starts_another_executable_in_its_place_is_observed_as_that(kind: type[Quiet], tmp_path: Path) -> None:
    """As QEMU does where it is updated under a running guest."""
    one = target(tmp_path, 1)
    found = [one]
    traces: list[Quiet] = []
    left: list[Target] = []

    def make(each: Target) -> Observer:
        traces.append(kind(each))
        return Observer(traces[-1], [])

    fleet, stop = Fleet(make, find=lambda: list(found), parted=left.append), threading.Event()
    thread = running(fleet, stop)
    wait(lambda: len(traces) == 1 and traces[0].polls > 0)
    found[:] = [dataclasses.replace(one, file=(1, 2))]
    wait(lambda: len(traces) == 2 and traces[1].polls > 0)
    assert traces[0].closed
    assert left == [one]
    assert traces[1].target == found[0]
    time.sleep(1)
    assert len(traces) == 2
    stop.set()
    thread.join()
    assert left == [one, *found]

"""The control arm: nobody is attached while the guest migrates; a patched QEMU is asked for its history afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fakedirty.lab.machine import Machine
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.model.sink import Sink
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.observer import Observer
from fakedirty.qmp.rounds_command import history_command, read_history, with_postcopy

STATUS = "query-migrate"


class PostRunTrace:
    """The trace of a migration that is over, in one look. It has one observation to give."""

    def __init__(self, source: Machine) -> None:
        self._source = source
        self._given = False

    def open(self) -> Subject:
        """Attaches to nothing."""
        target = by_pid(self._source.pid)
        return Subject(target.vm, Level.QMP, f"{target.pid} {target.start_ticks}", uuid=target.uuid)

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """What it says before the first migration, and what it says now."""
        if self._given:
            return [TraceRecord(time.monotonic_ns(), Channel.TICK)]
        self._given = True
        qmp = self._source.qmp
        command = history_command(qmp)
        before: dict[str, object] = {STATUS: {}} | ({command: {"rounds": []}} if command else {})
        now = {command: qmp.execute(command) for command in before}
        return [
            TraceRecord(time.monotonic_ns(), Channel.ANSWERS, json.dumps(answers).encode()) for answers in (before, now)
        ]

    def listen(self, ready: Callable[[], None]) -> bool:
        """It is polled."""
        return False

    def report(self, state: str) -> TraceRecord:
        """The last word."""
        qmp = self._source.qmp
        info = with_postcopy(qmp.execute(STATUS), read_history(qmp))
        return TraceRecord(time.monotonic_ns(), Channel.REPORT, json.dumps(info).encode())

    def look_up_limits(self) -> None:
        """They are what the campaign has set."""

    def close(self) -> None:
        """Nothing is open."""


class ControlArm:
    """Stands in the place of a watch."""

    def __init__(self, source: Machine, sinks: Sequence[Sink], *, patched: bool) -> None:
        self._source = source
        self._sinks = sinks
        self._patched = patched

    @property
    def rounds(self) -> int:
        """How many rounds have ended so far; 0 where QEMU does not say."""
        return len(read_history(self._source.qmp)["rounds"]) if self._patched else 0

    def migration(self) -> Migration | None:
        """The migration, told to the sinks now that it is over; None where QEMU keeps no history."""
        if not self._patched:
            return None
        observer = Observer(PostRunTrace(self._source), self._sinks)
        observer.attach()
        try:
            observer.run(lambda: bool(observer.migrations and observer.migrations[-1].ended), once=True)
        finally:
            observer.close()
        return observer.migrations[-1]


@contextmanager
def unwatched(source: Machine, sinks: Sequence[Sink], *, patched: bool) -> Iterator[ControlArm]:
    """As ``lab.watch.watched``, without an observer."""
    yield ControlArm(source, sinks, patched=patched)

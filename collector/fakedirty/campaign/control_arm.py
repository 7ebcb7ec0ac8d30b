"""The control arm: nobody is attached while the guest migrates. Afterwards QEMU's history of rounds is read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

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
    """The trace of a migration that is over: the answers of QEMU before any migration, and its answers now."""

    def __init__(self, source: Machine) -> None:
        self._source = source
        self._given = False

    def open(self) -> Subject:
        """Attach to nothing."""
        target = by_pid(self._source.pid)
        return Subject(target.vm, Level.QMP, f"{target.pid} {target.start_ticks}", uuid=target.uuid)

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """The two answers at the first call; then nothing but the time."""
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
        """False: this trace is polled."""
        return False

    def report(self, state: str) -> TraceRecord:
        """QEMU's final account of the migration."""
        qmp = self._source.qmp
        info = with_postcopy(qmp.execute(STATUS), read_history(qmp))
        return TraceRecord(time.monotonic_ns(), Channel.REPORT, json.dumps(info).encode())

    def look_up_limits(self) -> None:
        """Nothing: the campaign file has the limits."""

    def look_up_arrival(self) -> None:
        """Nothing: the source receives no guest."""

    def close(self) -> None:
        """Nothing is open."""


class ControlArm:
    """Stands in the place of the observer of an experiment, and attaches to nothing.

    Args:
        source: the machine that the guest migrates from.
        sinks: get the migration when it is over.
        patched: whether QEMU has the patch series, and so a history of rounds.
    """

    def __init__(self, source: Machine, sinks: Sequence[Sink], *, patched: bool) -> None:
        self._source = source
        self._sinks = sinks
        self._patched = patched

    @property
    def rounds(self) -> int:
        """How many rounds have ended so far; 0 if QEMU keeps no history."""
        return len(read_history(self._source.qmp)["rounds"]) if self._patched else 0

    def migration(self) -> Migration | None:
        """Read the migration from QEMU's history, now that it is over; None if QEMU keeps no history."""
        if not self._patched:
            return None
        observer = Observer(PostRunTrace(self._source), self._sinks)
        observer.attach()
        try:
            observer.run(lambda: bool(observer.migrations and observer.migrations[-1].ended), once=True)
        finally:
            observer.close()
        return observer.migrations[-1]

"""Recordings of the two halves of one migration, each made on a host of its own, with a clock of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fakedirty.linux.wall_clock import ClockError
from fakedirty.model.events import FinalReport, GuestArrived, GuestStopped, LimitsRead, MigrationStarted, StateChanged
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from made_migrations import EVENTS, SECOND, START, made, tell

UUID = "0e2b3c4d-0000-4000-8000-00000000000a"
WALL = 1_700_000_000 * SECOND
MS = 10**6
ARRIVED = START + 6 * SECOND + 850 * MS  # on the clock of the source, whose migration ends at START + 7 s
RAN = ARRIVED + 50 * MS

SYNCHRONISED, ALONE = ClockError(True, 1_000, 10), ClockError(False, 16_000_000, 16_000_000)


def source_half(
    out: Path, error: ClockError | None = SYNCHRONISED, *, vm: str = "web", return_path: bool = True
) -> Path:
    """The recording of a source that stops its guest 6.8 s after the start, and completes 0.2 s later."""
    clock = Clock(WALL, START, error, "boot-a")
    recorder = Recorder(out, "run-s", {"host": "alpha"}, clock=lambda: clock)
    stop = (LimitsRead(START, 300, None, 1, False, return_path), GuestStopped(START + 6 * SECOND + 800 * MS))
    tell(replace(made(vm, "s1"), uuid=UUID), [recorder], [*EVENTS[:6], *stop, *EVENTS[6:]])
    return recorder.directories[0]


def destination_half(
    out: Path,
    error: ClockError | None = SYNCHRONISED,
    *,
    migration_id: str = "d1",
    ahead_ns: int = 0,
    runs: bool = True,
    report: dict[str, object] | None = None,
    end: bool = True,
) -> Path:
    """The recording of its destination, whose wall clock shows `ahead_ns` more, and whose other clock began later."""
    since = 3_000 * SECOND
    clock = Clock(WALL + ahead_ns + ARRIVED - START, ARRIVED - since, error, "boot-b")
    recorder = Recorder(out, "run-d", {"host": "beta"}, clock=lambda: clock)
    arrival = replace(made("web-in", migration_id), start_ns=ARRIVED - since, incoming=True, uuid=UUID)
    run = [GuestArrived(RAN - since, running=True)] if runs else []
    events = [
        MigrationStarted(ARRIVED - since, incoming=True),
        GuestArrived(ARRIVED - since, running=False),
        StateChanged(ARRIVED - since, "completed"),
        *run,
        *([] if report is None else [FinalReport(RAN - since, report)]),
    ]
    tell(arrival, [recorder], events, end=end)
    return recorder.directories[0] if end else recorder.busy[0]

"""Migrations that still run, of guests that are migrated by arithmetic: for tests of what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fakedirty.model.enums import Level
from fakedirty.model.events import Event, LimitsRead, MigrationStarted, RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.sink import Sink
from played_guests import Guest, played

START = 10**12
LIMIT_MS = 300
ENDING = Guest(60_000, changed=0.9, sweep=3.5)  # in 8.0 s: its rounds become shorter
STUCK = Guest(60_000, changed=0.5)  # its rounds do not


def at(seconds: float) -> int:
    """So many seconds after the start, in ns."""
    return START + round(seconds * 1e9)


def events(rounds: Sequence[Round]) -> Iterator[Event]:
    """Those of a migration that has come as far as the end of these rounds."""
    yield MigrationStarted(START)
    yield LimitsRead(START, LIMIT_MS, None, 1, False)
    for r in rounds:
        yield RoundEnded(at(r.start_seconds + r.duration_seconds), r)


def running(guest: Guest, rounds: int, sinks: Sequence[Sink] = (), vm: str = "vm") -> Migration:
    """A migration after so many rounds, and what the sinks were told of it."""
    migration = Migration(vm, Level.PATCHED, "m1", START)
    for sink in sinks:
        sink.started(migration)
    for event in events(played(guest, rounds)[0]):
        migration.apply(event)
        for sink in sinks:
            sink.changed(migration, event)
    return migration

"""What the service logs about a migration: a line for each thing that an operator asks about later."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakedirty.model.enums import Mode
from fakedirty.model.events import Closed, EventsLost, MigrationStarted, ModeChanged, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.sink import Sink
from fakedirty.service.migration_log import MigrationLog
from made_migrations import START, made, tell

Lines = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Gives level and text of each line so far."""
    caplog.set_level(logging.INFO, "fakedirty")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def apply(migration: Migration, sink: Sink, *events: object) -> None:
    for event in events:
        migration.apply(event)  # type: ignore[arg-type]
        sink.changed(migration, event)  # type: ignore[arg-type]


def one(**values: object) -> Migration:
    return replace(made("web", "6601103a"), process="4711 99", **values)  # type: ignore[arg-type]


def test_a_migration_that_is_valid(lines: Lines) -> None:
    migration = tell(one(), [MigrationLog()])
    assert migration.valid
    assert lines()[0] == ("INFO", "web (pid 4711): migration 6601103a started at level patched")
    assert ("INFO", "web (pid 4711): mode observe -> skip") in lines()
    assert lines()[-1] == (
        "INFO",
        f"web (pid 4711): migration 6601103a completed, {len(migration.rounds)} rounds, valid",
    )
    assert len(lines()) == 2 + len(migration.toggles)


def test_lost_events_are_warned_of_once_and_summed_up_at_the_end(lines: Lines) -> None:
    migration, sink = one(), MigrationLog()
    sink.started(migration)
    apply(migration, sink, EventsLost(START, 3, "ring buffer"), EventsLost(START, 4, "ring buffer"))
    apply(migration, sink, EventsLost(START, 5, "map"), StateChanged(START, "completed"), Closed(START))
    sink.ended(migration)
    assert lines()[1] == ("WARNING", "web (pid 4711): 3 events lost (ring buffer)")
    assert [level for level, _ in lines()] == ["INFO", "WARNING", "INFO"]
    assert "completed, 0 rounds, not valid (12 events lost" in lines()[-1][1]


def test_one_that_runs_already_one_that_is_left_and_one_that_arrives(lines: Lines) -> None:
    migration, sink = one(), MigrationLog()
    sink.started(migration)
    apply(migration, sink, MigrationStarted(START, partial=True))
    sink.ended(migration)
    sink.started(one(incoming=True))
    assert [text.removeprefix("web (pid 4711): ") for _, text in lines()] == [
        "migration 6601103a started at level patched",
        "migration 6601103a was running already",
        "migration 6601103a is no longer observed, in the state active, 0 rounds, not valid (joined while it ran)",
        "incoming migration 6601103a started at level patched",
    ]


def test_a_toggle_of_anybody(lines: Lines) -> None:
    migration = replace(made("web"), process="")
    apply(migration, MigrationLog(), ModeChanged(START, 1, Mode.SKIP, Mode.OFF, None))
    assert lines() == [("INFO", "web (pid unknown): mode skip -> off")]

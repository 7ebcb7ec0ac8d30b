"""The sink that prints events as JSON, one object a line, as they happen: for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

from fakedirty.errors import RecordError
from fakedirty.model.events import Event, EventsLost, ModeChanged, RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch

from .manifest import Clock, side
from .rows import Row, identity, round_row, toggle_row
from .summary import summary


class JsonLines:
    """Prints one object a line: its ``type`` is started, round, toggle, lost or ended, the rest are columns.

    `reader_gone` is true once nobody reads the stream any more.
    """

    def __init__(self, stream: TextIO, run_id: str, clock: Callable[[], Clock]) -> None:
        self._stream = stream
        self._run_id = run_id
        self._clock = clock
        self._clocks: dict[str, Clock] = {}  # by migration: both clocks at its start
        self.reader_gone = False

    def started(self, migration: Migration) -> None:
        """Print that it began."""
        self._clocks[migration.migration_id] = clock = self._clock()
        started_at = clock.date(migration.start_ns).isoformat()
        row = {"level": str(migration.level), "side": side(migration), "started_at": started_at}
        self._print("started", identity(self._run_id, migration) | row)

    def changed(self, migration: Migration, event: Event) -> None:
        """Print a finished round, a toggle or a loss."""
        match event:
            case RoundEnded():
                self._print("round", round_row(self._run_id, migration, migration.rounds[-1]))
            case ModeChanged():
                self._print("toggle", toggle_row(self._run_id, migration, event))
            case EventsLost():
                self._print("lost", identity(self._run_id, migration) | {"count": event.count, "where": event.where})

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Print nothing: page records go into files only."""

    def ended(self, migration: Migration) -> None:
        """Print the content of migration.json."""
        clock = self._clocks.pop(migration.migration_id)
        self._print("ended", summary(self._run_id, migration, clock))

    def _print(self, kind: str, row: Row) -> None:
        try:
            print(json.dumps({"type": kind} | row), file=self._stream, flush=True)
        except OSError as error:
            self.reader_gone = True
            raise RecordError(f"nobody reads the JSON any more: {error.strerror or error}") from error

"""An observer that runs beside an experiment, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import FakedirtyError, LabError
from fakedirty.model.enums import Level
from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch, Sink
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer

END_SECONDS = 60.0  # for the observer to tell the end of a migration that has ended, on a loaded machine


class ExperimentObserver:
    """The sink that keeps the one migration of an experiment, and what became of its observer."""

    def __init__(self) -> None:
        self._migration: Migration | None = None
        self.over = threading.Event()
        self.error: FakedirtyError | None = None

    @property
    def rounds(self) -> int:
        """How many rounds have ended so far."""
        return len(self._migration.rounds) if self._migration else 0

    def migration(self) -> Migration:
        """The migration, once the observer has told its end; LabError if it does not."""
        self.over.wait(END_SECONDS)
        if self.error:
            raise self.error
        if self._migration is None or not self._migration.ended:
            raise LabError("the observer saw no migration, or no end of it")
        return self._migration

    def started(self, migration: Migration) -> None:
        """Keep it."""
        self._migration = migration

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing: the migration is live."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: others keep pages."""

    def ended(self, migration: Migration) -> None:
        """Let those go on who wait for it."""
        self.over.set()


@contextmanager
def watched(
    pid: int, level: Level, sinks: Sequence[Sink], *, pages: bool = False, qmp_path: Path | None = None
) -> Iterator[ExperimentObserver]:
    """Observe process `pid` while the block runs; attached when it begins, gone when it ends."""
    watch = ExperimentObserver()
    observer = Observer(LiveTrace(by_pid(pid), level, pages=pages, monitor=qmp_path), [*sinks, watch])
    stop = threading.Event()

    def run() -> None:
        try:
            observer.run(stop.is_set, once=True)
        except FakedirtyError as error:
            watch.error = error
        finally:
            watch.over.set()

    try:
        observer.attach()
        thread = threading.Thread(target=run, name="observer")
        thread.start()
        try:
            yield watch
        finally:
            stop.set()
            thread.join()
    finally:
        observer.close()

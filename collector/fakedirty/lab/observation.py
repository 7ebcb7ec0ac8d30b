"""The observer of an experiment: it runs in a thread of its own while the guest migrates."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fakedirty.errors import FakedirtyError, LabError
from fakedirty.model.enums import Level
from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch, Sink
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer

END_SECONDS = 60.0  # the observer has this long to report the end of a migration, on a loaded machine


class Observation(Protocol):
    """What an experiment needs of whoever observes it."""

    @property
    def rounds(self) -> int:
        """How many rounds have ended so far."""

    def migration(self) -> Migration | None:
        """The whole migration, once it is over. None: nothing is known of it."""


class ExperimentObserver:
    """The sink that keeps the one migration of an experiment, and the error that ended the observer."""

    def __init__(self) -> None:
        self._migration: Migration | None = None
        self.over = threading.Event()
        self.error: FakedirtyError | None = None

    @property
    def rounds(self) -> int:
        """As :attr:`Observation.rounds`."""
        return len(self._migration.rounds) if self._migration else 0

    def migration(self) -> Migration:
        """Wait until the observer has reported the end of the migration.

        Raises:
            FakedirtyError: the observer failed, or reported no end within END_SECONDS.
        """
        self.over.wait(END_SECONDS)
        if self.error:
            raise self.error
        if self._migration is None or not self._migration.ended:
            raise LabError("the observer saw no migration, or no end of it")
        return self._migration

    def started(self, migration: Migration) -> None:
        """Keep the migration."""
        self._migration = migration

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing: the migration that is kept changes with it."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: other sinks keep pages."""

    def ended(self, migration: Migration) -> None:
        """Wake up who waits for the end."""
        self.over.set()


@contextmanager
def observed(
    pid: int, level: Level, sinks: Sequence[Sink], *, pages: bool = False, qmp_path: Path | None = None
) -> Iterator[ExperimentObserver]:
    """Observe a QEMU while the block runs. The observer is attached when the block begins, and detached at its end.

    Args:
        pid: process id of QEMU.
        level: how much is observed.
        sinks: get the migration, beside the observer that is returned.
        pages: whether page records are made.
        qmp_path: a QMP socket of this QEMU that nobody else uses.
    """
    kept = ExperimentObserver()
    observer = Observer(LiveTrace(by_pid(pid), level, pages=pages, monitor=qmp_path), [*sinks, kept])
    stop = threading.Event()

    def run() -> None:
        try:
            observer.run(stop.is_set, once=True)
        except FakedirtyError as error:
            kept.error = error
        finally:
            kept.over.set()

    try:
        observer.attach()
        thread = threading.Thread(target=run, name="observer")
        thread.start()
        try:
            yield kept
        finally:
            stop.set()
            thread.join()
    finally:
        observer.close()

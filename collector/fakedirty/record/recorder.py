"""The sink that records each migration in a directory of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fakedirty.errors import RecordError
from fakedirty.linux.wall_clock import boot_id, clock_error
from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch

from .manifest import Clock, Manifest
from .migration_directory import MigrationDirectory


def read_clock() -> Clock:
    """Both clocks of the host, now."""
    return Clock(time.time_ns(), time.monotonic_ns(), clock_error(), boot_id())


class Recorder:
    """Writes recordings below `out`.

    The first error of writing raises RecordError and ends the recording. The data written so far stay readable, and
    every later call does nothing.

    Args:
        out: a directory.
        run_id: the run, for all migrations.
        facts: members of each manifest: QEMU's version and command line, parameters, seeds …
        clock: reads both clocks.
    """

    def __init__(
        self,
        out: Path,
        run_id: str,
        facts: Mapping[str, object] | None = None,
        clock: Callable[[], Clock] = read_clock,
    ) -> None:
        self._out = out
        self._manifest = Manifest(run_id, sys.argv, {} if facts is None else facts)
        self._clock = clock
        self._writing: dict[str, MigrationDirectory] = {}
        self.failure: RecordError | None = None
        self.directories: list[Path] = []  # of finished migrations, in the order in which they ended

    @property
    def busy(self) -> list[Path]:
        """Directories that are written now."""
        return [writing.directory for writing in self._writing.values()]

    def started(self, migration: Migration) -> None:
        """Create the directory of the migration."""
        self._attempt(lambda: self._start(migration))

    def changed(self, migration: Migration, event: Event) -> None:
        """Write a finished round or a toggle."""
        if writing := self._writing.get(migration.migration_id):
            self._attempt(lambda: writing.take(event))

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Write page records."""
        if writing := self._writing.get(migration.migration_id):
            self._attempt(lambda: writing.pages(batch))

    def ended(self, migration: Migration) -> None:
        """Give the directory its final name."""
        if writing := self._writing.get(migration.migration_id):
            self._attempt(lambda: self.directories.append(writing.finish()))
            self._writing.pop(migration.migration_id, None)

    def _start(self, migration: Migration) -> None:
        self._writing[migration.migration_id] = MigrationDirectory(self._out, self._manifest, migration, self._clock())

    def _attempt(self, write: Callable[[], None]) -> None:
        if self.failure:
            return
        try:
            write()
        except OSError as error:
            for writing in self._writing.values():
                writing.close()
            self._writing.clear()
            self.failure = RecordError(
                f"cannot record to {self._out}: {error.strerror or error}; recording has stopped, the migration and "
                "its observation go on. Make room, or choose another place with --out"
            )
            raise self.failure from error

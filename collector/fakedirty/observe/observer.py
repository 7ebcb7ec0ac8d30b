"""The observer: one QEMU, one level, any number of migrations, told to sinks."""

from __future__ import annotations

import hashlib
import logging
import os
import select
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fakedirty.errors import FakedirtyError, TargetError, UsageError
from fakedirty.model.events import Event, FinalReport, MigrationStarted, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch, Sink
from fakedirty.model.words import Level

from . import final_report
from .patched import PatchedSource
from .qmp_level import QmpSource
from .source import Observed, Source
from .stock import StockSource
from .target import Target

POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Observer:
    """Watches a QEMU from :meth:`attach` to :meth:`close`; `migrations` are those seen, oldest first."""

    def __init__(
        self,
        target: Target,
        level: Level,
        sinks: Sequence[Sink],
        *,
        pages: bool = False,
        qmp_path: Path | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if pages and level is not Level.PATCHED:
            raise UsageError(f"page records exist at level patched only, not at level {level}")
        self.target = target
        self.level = level
        self.migrations: list[Migration] = []
        self._sinks = list(sinks)
        self._qmp_paths = (qmp_path,) if qmp_path else target.qmp_paths
        self._clock = clock
        self._current: Migration | None = None
        self._process: int | None = None
        self._source = self._make_source(pages)

    def _make_source(self, pages: bool) -> Source:
        match self.level:
            case Level.PATCHED:
                return PatchedSource(self.target, pages=pages)
            case Level.STOCK:
                return StockSource(self.target, qmp_paths=self._qmp_paths)
            case Level.QMP:
                return QmpSource(self._qmp_paths, self._clock)
            case _:
                raise UsageError(f"level {self.level} is not implemented: choose patched, stock or qmp")

    def attach(self) -> None:
        """Begin to observe; from the return on nothing is missed. On an error nothing is left attached."""
        try:
            self._process = os.pidfd_open(self.target.pid)
        except OSError as error:
            raise TargetError(f"QEMU {self.target.pid} is gone: {error}") from error
        try:
            self._source.attach()
        except OSError as error:
            self.close()
            raise TargetError(f"QEMU {self.target.pid} cannot be observed: {error}") from error
        except BaseException:
            self.close()
            raise

    def run(self, stop: Callable[[], bool], once: bool = False) -> None:
        """Observe until `stop` says so, QEMU ends, or (with `once`) a migration has ended."""
        while not stop():
            gone = self._gone()
            self._take_all(self._source.poll(0 if gone else POLL_SECONDS))
            if gone:
                self._abandon()
                return
            if once and any(migration.ended for migration in self.migrations):
                return

    def close(self) -> None:
        """Detach, and hand over a migration that still runs as it is. May be called twice."""
        if self._process is not None:
            os.close(self._process)
            self._process = None
        self._source.close()
        self._end()

    def _gone(self) -> bool:
        assert self._process is not None
        return bool(select.select([self._process], [], [], 0)[0])

    def _take_all(self, observed: Sequence[Observed]) -> None:
        for entry in observed:
            if isinstance(entry, PageBatch):
                if (migration := self._current) is not None:
                    self._tell(lambda sink, m=migration, e=entry: sink.pages(m, e))  # type: ignore[misc]
            else:
                self._take(entry)

    def _take(self, event: Event) -> None:
        if isinstance(event, MigrationStarted):
            self._begin(event)
        if self._current is None:
            return
        self._apply(self._current, event)
        if self._current.ended:
            info = final_report.ask(self._qmp_paths, self._current.state) if self.level is not Level.QMP else {}
            self._apply(self._current, FinalReport(self._clock(), info or self._last_words()))
            self._end()

    def _last_words(self) -> dict[str, object]:
        """At level qmp the source itself holds the socket."""
        return dict(self._source.last_info) if isinstance(self._source, QmpSource) else {}

    def _begin(self, event: MigrationStarted) -> None:
        self._end()
        target = self.target
        seed = f"{target.pid} {target.start_ticks} {event.time_ns}"
        identity = hashlib.blake2b(seed.encode(), digest_size=4).hexdigest()
        migration = Migration(target.vm, self.level, identity, event.time_ns)
        self._current = migration
        self.migrations.append(migration)
        self._tell(lambda sink: sink.started(migration))

    def _apply(self, migration: Migration, event: Event) -> None:
        migration.apply(event)
        self._tell(lambda sink: sink.changed(migration, event))

    def _abandon(self) -> None:
        """QEMU is gone: a migration that it was in has failed."""
        if self._current is not None:
            _log.warning("QEMU %d ended in the middle of a migration", self.target.pid)
            self._take(StateChanged(self._clock(), "failed"))

    def _end(self) -> None:
        if (migration := self._current) is not None:
            self._current = None
            self._tell(lambda sink: sink.ended(migration))

    def _tell(self, say: Callable[[Sink], None]) -> None:
        """Tell every sink in order; one that fails is not told again, and the rest go on."""
        for sink in list(self._sinks):
            try:
                say(sink)
            except FakedirtyError as error:
                self._sinks.remove(sink)
                _log.warning("%s fails and is left out from here on: %s", type(sink).__name__, error)

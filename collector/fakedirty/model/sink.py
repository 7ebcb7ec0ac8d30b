"""What takes part in an observation: recorder, exporter and screen are all sinks."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from .events import Event
from .migration import Migration


@dataclass(frozen=True, slots=True)
class PageBatch:
    """Up to 256 visited pages of one RAM block in one round, as they came from the ring buffer.

    `records` is an array of ``struct page_record`` (``probes/events.h``), 16 bytes a page.
    """

    time_ns: int
    block: str
    round: int
    records: bytes | memoryview


class Sink(Protocol):
    """Told of everything that is observed, in order, never by two threads at once.

    A sink that fails raises :class:`fakedirty.errors.FakedirtyError`; the observer reports it and goes on
    without that sink: neither the guest nor the observation depends on it.
    """

    def started(self, migration: Migration) -> None:
        """A migration began; `migration` is the live object, which later calls pass again."""

    def changed(self, migration: Migration, event: Event) -> None:
        """`event` has just been applied to `migration`."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Page records came (only where they were asked for)."""

    def ended(self, migration: Migration) -> None:
        """The migration is over, or is no longer observed (`migration.ended` tells which)."""


class SerializedSink:
    """`sink` for several observers, each in a thread of its own."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = Lock()

    def started(self, migration: Migration) -> None:
        """As the sink's own."""
        with self._lock:
            self._sink.started(migration)

    def changed(self, migration: Migration, event: Event) -> None:
        """As the sink's own."""
        with self._lock:
            self._sink.changed(migration, event)

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """As the sink's own."""
        with self._lock:
            self._sink.pages(migration, batch)

    def ended(self, migration: Migration) -> None:
        """As the sink's own."""
        with self._lock:
            self._sink.ended(migration)

"""Sinks receive what is observed: the recorder, the exporter and the terminal are sinks."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from .events import Event
from .migration import Migration

RECORD_BYTES = 16  # of struct page_record, one for each page


@dataclass(frozen=True, slots=True)
class PageBatch:
    """Up to 256 visited pages of one RAM block in one round, as the ring buffer delivered them.

    Attributes:
        time_ns: CLOCK_MONOTONIC when QEMU handed the batch over.
        block: name of the RAM block.
        round: number of the round, from 1.
        records: an array of ``struct page_record`` (``probes/events.h``), 16 bytes a page.
    """

    time_ns: int
    block: str
    round: int
    records: bytes | memoryview

    @property
    def pages(self) -> int:
        """How many pages it has."""
        return len(self.records) // RECORD_BYTES


class Sink(Protocol):
    """Receives everything that is observed, in order, never from two threads at once.

    A sink that fails raises :class:`fakedirty.errors.FakedirtyError`. The observer reports the error and goes on
    without that sink: neither the guest nor the observation depends on it.
    """

    def started(self, migration: Migration) -> None:
        """A migration began; later calls pass the same object, which changes as the migration goes on."""

    def changed(self, migration: Migration, event: Event) -> None:
        """`event` has just been applied to `migration`."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Page records arrived, of an observation that was started with page records."""

    def ended(self, migration: Migration) -> None:
        """The migration ended (`migration.ended`), or its observation did."""


class SerializedSink:
    """A sink for several observers, each in a thread of its own: calls of `sink` are made one at a time."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = Lock()

    def started(self, migration: Migration) -> None:
        with self._lock:
            self._sink.started(migration)

    def changed(self, migration: Migration, event: Event) -> None:
        with self._lock:
            self._sink.changed(migration, event)

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        with self._lock:
            self._sink.pages(migration, batch)

    def ended(self, migration: Migration) -> None:
        with self._lock:
            self._sink.ended(migration)

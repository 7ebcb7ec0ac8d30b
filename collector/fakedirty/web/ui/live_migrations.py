"""The sink of the page: the latest migrations of all VMs, as they go."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass

from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.vm_names import encodable
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import read_clock

KEPT = 50  # migrations, and those that run


@dataclass(slots=True)
class LiveMigration:
    """A migration and the `clock` that dates it; `over` once it is not observed any more."""

    migration: Migration
    clock: Clock
    over: bool = False

    @property
    def running(self) -> bool:
        """Whether it runs, as far as the observer knows."""
        return not (self.over or self.migration.ended)

    @property
    def stamp(self) -> str:
        """A text that changes whenever the page has something new to show."""
        of = self.migration
        counts = (len(of.rounds), len(of.toggles), len(of.report), sum(of.lost_events.values()))
        times = (*astuple(of.limits), of.remaining_bytes, of.refuted, of.outside_downtime_ns, of.resumed_ns)
        return ".".join(map(str, (*counts, *times, of.state, of.partial, self.over)))


def key_of(vm: str, migration_id: str) -> str:
    """The name of a migration in an address, the same while it runs and when it has been recorded."""
    name = f"{encodable(vm)}\0{migration_id}".encode()  # as a recording spells it
    return hashlib.blake2b(name, digest_size=8).hexdigest()


class LiveMigrations:
    """Written by the threads that observe, read by those of the page."""

    def __init__(self, clock: Callable[[], Clock] = read_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._migrations: dict[str, LiveMigration] = {}

    def all(self) -> dict[str, LiveMigration]:
        """All of them by key, in the order in which they began."""
        with self._lock:
            return dict(self._migrations)

    def started(self, migration: Migration) -> None:
        """Add it, and drop the oldest that is over."""
        live = LiveMigration(migration, self._clock())
        with self._lock:
            self._migrations[key_of(migration.vm, migration.migration_id)] = live
            over = [key for key, each in self._migrations.items() if not each.running]
            for key in over[: max(0, len(self._migrations) - KEPT)]:
                del self._migrations[key]

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing: the page reads the migration itself."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: the page reads page records from the recording."""

    def ended(self, migration: Migration) -> None:
        """Note that it is not observed any more."""
        with self._lock:
            if live := self._migrations.get(key_of(migration.vm, migration.migration_id)):
                live.over = True

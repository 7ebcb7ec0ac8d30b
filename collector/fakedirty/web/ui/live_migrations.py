"""The sink that the page looks at: the latest migrations of all VMs, as they go."""

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
    """One migration, by the `clock` that dates it; `over` once nobody observes it any more."""

    migration: Migration
    clock: Clock
    over: bool = False

    @property
    def running(self) -> bool:
        """Whether it goes on, as far as anyone knows."""
        return not (self.over or self.migration.ended)

    @property
    def stamp(self) -> str:
        """Another text for whatever is to be shown anew."""
        of = self.migration
        counts = (len(of.rounds), len(of.toggles), len(of.report), sum(of.lost_events.values()))
        times = (*astuple(of.limits), of.refuted, of.outside_downtime_ns, of.resumed_ns)
        return ".".join(map(str, (*counts, *times, of.state, of.partial, self.over)))


def key_of(vm: str, migration_id: str) -> str:
    """What a migration is called in an address, whether it runs or has been recorded."""
    name = f"{encodable(vm)}\0{migration_id}".encode()  # as it is recorded
    return hashlib.blake2b(name, digest_size=8).hexdigest()


class LiveMigrations:
    """Told by the threads that observe, asked by those that answer."""

    def __init__(self, clock: Callable[[], Clock] = read_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, LiveMigration] = {}

    def all(self) -> dict[str, LiveMigration]:
        """By key, those that began first at first."""
        with self._lock:
            return dict(self._told)

    def started(self, migration: Migration) -> None:
        """Know it, and forget the oldest that is over."""
        told = LiveMigration(migration, self._clock())
        with self._lock:
            self._told[key_of(migration.vm, migration.migration_id)] = told
            over = [key for key, each in self._told.items() if not each.running]
            for key in over[: max(0, len(self._told) - KEPT)]:
                del self._told[key]

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing: it is looked at when somebody asks."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: they are read from the recording, and only if somebody asks."""

    def ended(self, migration: Migration) -> None:
        """Nobody observes it any more."""
        with self._lock:
            if told := self._told.get(key_of(migration.vm, migration.migration_id)):
                told.over = True

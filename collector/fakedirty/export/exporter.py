"""The sink that Prometheus scrapes: a scrape reads the model as it is at that moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch

from .host import HOST, AttachedCounts, Build, Host, build, by_label
from .metrics import METRICS
from .retained_vms import VMS_WITH_ROUNDS, dropped, with_rounds
from .tracked_migration import ROUNDS_SHOWN, TrackedMigration
from .vm import ExportedVm, Samples
from .vm_labels import Process, VmLabels


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class Exporter(Collector):
    """Holds the last migration and the counters of each VM. Any thread may call its methods.

    Args:
        now: the time of day.
        attached: gives the QEMUs that are observed; their VMs are kept, however long ago they migrated.
        built: the versions to export; those of this process if None.
        skip_off: gives how often a policy has switched skip off.
        vms_with_rounds: how many VMs have series by round: those that migrate, then those that did last; 0 for none.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = utc_now,
        attached: Callable[[], Iterable[AttachedCounts]] = lambda: (),
        built: Build | None = None,
        skip_off: Callable[[], int] = lambda: 0,
        vms_with_rounds: int = VMS_WITH_ROUNDS,
    ) -> None:
        self.scrape_seconds: float | None = None  # time of the last scrape, set by whoever writes it
        self._now = now
        self._attached = attached
        self._skip_off = skip_off
        self._vms_with_rounds = vms_with_rounds
        self._build = built or build()
        self._lock = threading.Lock()  # held for one VM at a time, so that the observer does not wait for a scrape
        self._guests = VmLabels()
        self._vms: dict[str, ExportedVm] = {}  # by guest
        self._dropped = 0

    def started(self, migration: Migration) -> None:
        """Track `migration` as the last one of its VM, beside the counters of those before.

        An incoming migration is left out: it is exported where it came from.
        """
        if migration.incoming:
            return
        tracked, attached = TrackedMigration(migration, self._now()), self._observed()
        with self._lock:
            guest = self._guest(migration, attached)
            if guest in self._vms:
                self._vms[guest].begin(tracked)
            else:
                self._vms[guest] = ExportedVm(self._guests.label(guest), tracked)
            self._drop(attached)
            self._choose_rounds()

    def label(self, migration: Migration) -> str:
        """The value of the label ``vm`` in the series of a migration, for other outputs that name the VM."""
        attached = self._observed()
        with self._lock:
            return self._guests.label(self._guest_of(process_of(migration), attached))

    def look(self) -> None:
        """Register the QEMUs that are attached now: processes that are there at the same time are different guests."""
        self._observed()

    def changed(self, migration: Migration, event: Event) -> None:
        """Count what is new, so that a scrape after a long time has no more to do than any other."""
        with self._lock:
            if vm := self._vm(migration):
                vm.count()

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: single pages are no metric."""

    def ended(self, migration: Migration) -> None:
        """Note that the observation of `migration` is over, and make the samples that it will have from now on."""
        with self._lock:
            if vm := self._vm(migration):
                vm.last.left_at = self._now()
                vm.samples()

    def collect(self) -> Iterator[Metric]:
        """All metric families that have samples, as they are now."""
        host, vms = self._snapshot()
        for metric in HOST:
            if samples := list(metric.samples(host)):
                yield metric.family(samples)
        by_vm = [self._samples(vm) for vm in vms]
        for number, description in enumerate(METRICS):
            if of_vms := list(chain.from_iterable(samples[number] for samples in by_vm)):
                yield description.family(of_vms)

    def _snapshot(self) -> tuple[Host, list[ExportedVm]]:
        attached = self._observed()
        with self._lock:
            self._drop(attached)
            self._choose_rounds()
            labelled = by_label(attached, lambda each: self._guests.label(self._guest_of(each.process, attached)))
            host = Host(self._build, labelled, self._dropped, self._skip_off(), self.scrape_seconds)
            return host, list(self._vms.values())

    def _samples(self, vm: ExportedVm) -> Samples:
        with self._lock:
            return vm.samples()

    def _choose_rounds(self) -> None:
        """Decide which VMs have series by round."""
        recent = with_rounds({guest: vm.last for guest, vm in self._vms.items()}, self._vms_with_rounds)
        for guest, vm in self._vms.items():
            vm.show_rounds(ROUNDS_SHOWN if guest in recent else 0)

    def _observed(self) -> list[AttachedCounts]:
        """The attached QEMUs, in the order in which they came; each has its guest then."""
        attached = list(self._attached())
        with self._lock:
            for each in attached:
                self._guest_of(each.process, attached)
        return attached

    def _guest_of(self, process: Process, attached: Iterable[AttachedCounts]) -> str:
        if (known := self._guests.known(process)) is not None:
            return known
        migrating = {guest for guest, vm in self._vms.items() if vm.last.active}
        return self._guests.of(process, (each.process.key for each in attached), migrating)

    def _guest(self, migration: Migration, attached: Iterable[AttachedCounts]) -> str:
        """The guest that begins to migrate: a new one if the same guest may still be in another process."""
        process = process_of(migration)
        guest = self._guest_of(process, attached)
        if (vm := self._vms.get(guest)) is None or (other := process_of(vm.last.migration)).key == process.key:
            return guest
        there = any(each.process.key == other.key for each in attached)
        if vm.last.active or (there and vm.last.migration.state != "completed"):
            return self._guests.apart(process)
        return guest

    def _vm(self, migration: Migration) -> ExportedVm | None:
        """The VM whose last migration it is."""
        vm = self._vms.get(self._guests.known(process_of(migration)) or "")
        return vm if vm is not None and vm.last.migration is migration else None

    def _drop(self, attached: Iterable[AttachedCounts]) -> None:
        here = {each.process.key for each in attached}
        guests = {self._guest_of(each.process, attached) for each in attached}
        for guest in dropped({guest: vm.last for guest, vm in self._vms.items()}, guests, self._now()):
            del self._vms[guest]
            self._dropped += 1
        self._guests.keep(here, self._vms)


def process_of(migration: Migration) -> Process:
    """The QEMU that the migration is observed in."""
    return Process(migration.process, migration.vm, migration.uuid)

"""The sink that Prometheus scrapes: what it says is read from the model when it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.vm_names import encodable

from .host import HOST, AttachedCounts, Build, Host, build, by_label
from .metrics import METRICS, Metric
from .retained_vms import dropped, with_rounds
from .text import Described, Lines, Said, head, lines
from .tracked_migration import ROUNDS_SHOWN, TrackedMigration
from .vm import ExportedVm
from .vm_labels import Process, VmLabels

FAMILIES: dict[str, Callable[[str, str], Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
    "stateset": StateSetMetricFamily,
}


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class Exporter(Collector):
    """Knows the last migration of each VM; told of them from one thread, scraped from others.

    `attached` gives the QEMUs that are observed, to any thread: their VMs are kept, however long ago they migrated.
    `skip_off` counts how often a policy has switched skip off.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = utc_now,
        attached: Callable[[], Iterable[AttachedCounts]] = lambda: (),
        built: Build | None = None,
        skip_off: Callable[[], int] = lambda: 0,
    ) -> None:
        self._now = now
        self._attached = attached
        self._skip_off = skip_off
        self._build = built or build()
        self._lock = threading.Lock()  # held for one VM at a time, so that whoever observes need not wait for a scrape
        self._scraping = threading.Lock()  # by one client at a time: together they take no longer
        self._guests = VmLabels()
        self._vms: dict[str, ExportedVm] = {}  # by guest
        self._dropped = 0
        self._scrape_seconds: float | None = None

    def started(self, migration: Migration) -> None:
        """Remember `migration` as the last one of its VM, and what the one before it had counted.

        What the source exports of a migration is not exported once more by its destination.
        """
        if migration.incoming:
            return
        seen, attached = TrackedMigration(migration, self._now()), self._observed()
        with self._lock:
            guest = self._guest(migration, attached)
            if guest in self._vms:
                self._vms[guest].begin(seen)
            else:
                self._vms[guest] = ExportedVm(self._guests.label(guest), seen)
            self._drop(attached)

    def label(self, migration: Migration) -> str:
        """What the series of a migration have for a VM: whoever else tells of it has the same."""
        attached = self._observed()
        with self._lock:
            return self._guests.label(self._of(process_of(migration), attached))

    def look(self) -> None:
        """Take notice of the QEMUs that are observed now: who is there beside another is another guest."""
        self._observed()

    def changed(self, migration: Migration, event: Event) -> None:
        """Count what is new of it, so that a scrape after a long time has no more to do than any other."""
        with self._lock:
            if vm := self._vm(migration):
                vm.count()

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: single pages are no metric."""

    def ended(self, migration: Migration) -> None:
        """Remember that nobody looks at `migration` any more, and what will be said of it for long."""
        with self._lock:
            if vm := self._vm(migration):
                vm.last.left_at = self._now()
                vm.lines()

    def collect(self) -> Iterator[Family]:
        """The families of prometheus_client, for whoever registers it in a registry."""
        with self._scraping:
            host, vms = self._look()
            said: list[tuple[Described, list[Said]]] = [(each, list(each.say(host))) for each in HOST]
            of_vms: list[tuple[Metric, list[Said]]] = [(metric, []) for metric in METRICS]
            for vm in vms:
                with self._lock:
                    vm.count()
                    for metric, samples in of_vms:
                        samples.extend(vm.say(metric))
        said += of_vms
        for of, samples in said:
            if samples:
                yield _family(of, samples)

    def text(self, openmetrics: bool = False) -> str:
        """The same, written; without the line that ends OpenMetrics."""
        with self._scraping:
            began = time.perf_counter()
            host, vms = self._look()
            written: list[tuple[Described, Iterable[Lines]]] = [(each, [lines(each.say(host))]) for each in HOST]
            by_vm = [self._lines(vm) for vm in vms]
            written += [(metric, [own[index] for own in by_vm]) for index, metric in enumerate(METRICS)]
            text = "".join(chain.from_iterable(_pieces(of, blocks, openmetrics) for of, blocks in written))
            self._scrape_seconds = time.perf_counter() - began
            return text

    def _look(self) -> tuple[Host, list[ExportedVm]]:
        """All that a scrape is about to say."""
        attached = self._observed()
        with self._lock:
            self._drop(attached)
            recent = with_rounds({guest: vm.last for guest, vm in self._vms.items()})
            for guest, vm in self._vms.items():
                vm.last.rounds_shown = ROUNDS_SHOWN if guest in recent else 0
            labelled = by_label(attached, lambda each: self._guests.label(self._of(each.process, attached)))
            host = Host(self._build, labelled, self._dropped, self._skip_off(), self._scrape_seconds)
            return host, list(self._vms.values())

    def _lines(self, vm: ExportedVm) -> tuple[Lines, ...]:
        with self._lock:
            return vm.lines()

    def _observed(self) -> list[AttachedCounts]:
        """Those there are, each with its guest, in the order in which they came."""
        attached = list(self._attached())
        with self._lock:
            for each in attached:
                self._of(each.process, attached)
        return attached

    def _of(self, process: Process, attached: Iterable[AttachedCounts]) -> str:
        if (known := self._guests.known(process)) is not None:
            return known
        migrating = {guest for guest, vm in self._vms.items() if vm.last.active}
        return self._guests.of(process, (each.process.key for each in attached), migrating)

    def _guest(self, migration: Migration, attached: Iterable[AttachedCounts]) -> str:
        """The guest that begins to migrate; one that does while its other process may still have it is two."""
        process = process_of(migration)
        guest = self._of(process, attached)
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
        guests = {self._of(each.process, attached) for each in attached}
        for guest in dropped({guest: vm.last for guest, vm in self._vms.items()}, guests, self._now()):
            del self._vms[guest]
            self._dropped += 1
        self._guests.keep(here, self._vms)


def process_of(migration: Migration) -> Process:
    """The QEMU that it is observed in."""
    return Process(migration.process, migration.vm, migration.uuid)


def _family(of: Described, said: Iterable[Said]) -> Family:
    family = FAMILIES[of.type](of.family, of.help)
    family.samples = [
        Sample(
            each.series.name,
            dict(zip(each.series.labels, map(encodable, each.values), strict=True)),
            each.value,
            None,
            each.exemplar,
        )
        for each in said
    ]
    return family


def _pieces(of: Described, blocks: Iterable[Lines], openmetrics: bool) -> Iterator[str]:
    pieces = [block.openmetrics if openmetrics else block.prometheus for block in blocks]
    if any(pieces):
        yield head(of, openmetrics)
        yield from pieces

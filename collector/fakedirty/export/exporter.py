"""The sink that Prometheus scrapes: families are built from the model at scrape time, none is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch

from .metrics import BUILD_INFO, METRICS, Metric
from .seen import LabelValues, Seen, Vm

Bucket = tuple[str, float] | tuple[str, float, Exemplar]

FAMILIES: dict[str, type[CounterMetricFamily] | type[GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class Exporter(Collector):
    """Knows the last migration of each VM; told of them from one thread, scraped from another."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._vms: dict[str, Vm] = {}

    def started(self, migration: Migration) -> None:
        """Remember `migration` as the last one of its VM, and what the one before it had counted.

        What the source exports of a migration is not exported once more by its destination.
        """
        if migration.incoming:
            return
        seen = Seen(migration, self._now())
        with self._lock:
            vm = self._vms.get(migration.vm)
            self._vms[migration.vm] = Vm(seen) if vm is None else Vm(seen, _added_up(vm))

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing: the migration is read when Prometheus asks."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing: single pages are no metric."""

    def ended(self, migration: Migration) -> None:
        """Remember that nobody looks at `migration` any more."""
        with self._lock:
            vm = self._vms.get(migration.vm)
            if vm is not None and vm.last.migration is migration:
                vm.last.left = True

    def collect(self) -> Iterator[Family]:
        """Fresh families; the observing thread may go on meanwhile, as what is read was finished."""
        with self._lock:
            families = [_family(metric, self._vms.items()) for metric in METRICS]
        name, labels, text, values = BUILD_INFO
        build = GaugeMetricFamily(name, text, labels=labels)
        build.add_metric(values, 1)
        yield build
        yield from (family for family in families if family.samples)


def _family(metric: Metric, vms: Iterable[tuple[str, Vm]]) -> Family:
    labels = ("vm", *metric.labels)
    if metric.buckets:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for name, vm in vms:
            for values, buckets, total in _buckets(metric, vm):
                histogram.add_metric([_printable(label) for label in (name, *values)], buckets, total)
        return histogram
    family = FAMILIES[metric.type](metric.name, metric.help, labels=labels)
    for name, vm in vms:
        for values, value in _read(metric, vm).items():
            family.add_metric([_printable(label) for label in (name, *values)], value)
    return family


def _read(metric: Metric, vm: Vm) -> dict[LabelValues, float]:
    """What `vm` has to say for `metric`: a counter goes on from its earlier migrations.

    Of a histogram each bucket and the sum is a counter, told apart by one more label value.
    """
    values: dict[LabelValues, float] = dict(vm.past.get(metric.name, {}))
    for labels, value in metric.read(vm.last):
        if metric.buckets:
            for bound in _bounds(metric):
                values[*labels, bound] = values.get((*labels, bound), 0) + (value <= float(bound))
            values[*labels, SUM] = values.get((*labels, SUM), 0) + value
        else:
            values[labels] = values.get(labels, 0) + value
    return values


SUM = "sum"


def _bounds(metric: Metric) -> list[str]:
    return [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]


def _buckets(metric: Metric, vm: Vm) -> Iterator[tuple[LabelValues, list[Bucket], float]]:
    """By label values: buckets that count all below their bound, each with the last migration that was in it, and the
    sum.
    """
    counted = _read(metric, vm)
    latest: dict[tuple[LabelValues, str], float] = {}
    for labels, value in metric.read(vm.last):
        latest[labels, next(bound for bound in _bounds(metric) if value <= float(bound))] = value
    who = {"migration_id": vm.last.migration.migration_id}
    for labels in dict.fromkeys(key[:-1] for key in counted):
        buckets: list[Bucket] = []
        for bound in _bounds(metric):
            count, last = counted[*labels, bound], latest.get((labels, bound))
            buckets.append((bound, count) if last is None else (bound, count, Exemplar(who, last)))
        yield labels, buckets, counted[*labels, SUM]


def _added_up(vm: Vm) -> dict[str, dict[LabelValues, float]]:
    """What `vm` has counted in all, its last migration taken as over."""
    vm.last.left = True
    return {metric.name: _read(metric, vm) for metric in METRICS if metric.type != "gauge"}


def _printable(label: str) -> str:
    """`label` as UTF-8 can have it: one bad name must not end the scrape of all."""
    return label.encode("utf-8", "replace").decode()

"""What a VM's migrations have counted of one metric."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from prometheus_client.core import Exemplar
from prometheus_client.samples import Sample

from fakedirty.model.vm_names import encodable

from .metric import Metric
from .readers import Values
from .tracked_migration import LabelValues


@dataclass(slots=True)
class Tally:
    """A histogram: for each bucket how many were in it or below, and the last one in it, with its migration."""

    counts: list[int]
    exemplars: list[Exemplar | None]
    total: float = 0
    samples: Sequence[Sample] | None = None  # as they were made last; None after an observation was added

    def add(self, at: int, value: float, migration_id: str) -> None:
        """Count one observation, in bucket `at`."""
        for above in range(at, len(self.counts)):
            self.counts[above] += 1
        self.exemplars[at] = Exemplar({"migration_id": encodable(migration_id)}, value)
        self.total += value
        self.samples = None

    def copy(self) -> Tally:
        """Another one, to which observations can be added."""
        return Tally(list(self.counts), list(self.exemplars), self.total, self.samples)


@dataclass(slots=True)
class Count:
    """By label values: the `tallies` of a histogram, the `values` of any other metric."""

    values: dict[LabelValues, float] = field(default_factory=dict)
    tallies: dict[LabelValues, Tally] = field(default_factory=dict)

    def add(self, metric: Metric, values: Values, migration_id: str) -> None:
        """Count values that were read of a migration."""
        buckets = len(metric.buckets) + 1  # with that of infinity
        for labels, value in values:
            if not metric.buckets:
                self.values[labels] = self.values.get(labels, 0) + value
                continue
            tally = self.tallies.get(labels)
            if tally is None:
                tally = self.tallies[labels] = Tally([0] * buckets, [None] * buckets)
            tally.add(bisect_left(metric.buckets, value), value, migration_id)

    def copy(self) -> Count:
        """Another one, to which values can be added."""
        return Count(dict(self.values), {labels: tally.copy() for labels, tally in self.tallies.items()})


@cache
def bounds(buckets: tuple[float, ...]) -> tuple[str, ...]:
    """The upper bounds of all buckets, as the label ``le`` has them."""
    return (*(f"{bound:g}" for bound in buckets), "+Inf")

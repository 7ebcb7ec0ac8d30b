"""What a VM's migrations have counted of one metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from prometheus_client.core import Exemplar

from .metrics import Metric
from .readers import Samples
from .seen import LabelValues

SUM, INFINITE = "sum", "+Inf"


@dataclass(slots=True)
class Count:
    """One metric of one VM. Of a histogram each bucket and the sum is a counter, told apart by one more label value."""

    values: dict[LabelValues, float] = field(default_factory=dict)
    exemplars: dict[LabelValues, Exemplar] = field(default_factory=dict)  # the last in its bucket

    def add(self, metric: Metric, samples: Samples, migration_id: str) -> None:
        """Count what was read of a migration."""
        for labels, value in samples:
            if not metric.buckets:
                self.values[labels] = self.values.get(labels, 0) + value
                continue
            own = None
            for bound, most in bounds(metric.buckets):
                own = (*labels, bound) if own is None and value <= most else own
                self.values[*labels, bound] = self.values.get((*labels, bound), 0) + (value <= most)
            self.values[*labels, SUM] = self.values.get((*labels, SUM), 0) + value
            if own is not None:
                self.exemplars[own] = Exemplar({"migration_id": migration_id}, value)


@cache
def bounds(buckets: tuple[float, ...]) -> tuple[tuple[str, float], ...]:
    """The upper bounds of all buckets, each with how it is written."""
    return (*((f"{bound:g}", bound) for bound in buckets), (INFINITE, float("inf")))

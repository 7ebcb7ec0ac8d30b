"""What a VM's migrations have counted of one metric."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache

from prometheus_client.core import Exemplar

from .metrics import Metric
from .readers import Samples
from .text import Lines
from .tracked_migration import LabelValues


@dataclass(slots=True)
class Tally:
    """A histogram: by bucket how many were in it or below, and the last that was in it, with its migration."""

    counts: list[int]
    exemplars: list[Exemplar | None]
    total: float = 0
    lines: Lines | None = None  # as it was written last; None after something was added

    def add(self, at: int, value: float, migration_id: str) -> None:
        """One more, in bucket `at`."""
        for above in range(at, len(self.counts)):
            self.counts[above] += 1
        self.exemplars[at] = Exemplar({"migration_id": migration_id}, value)
        self.total += value
        self.lines = None

    def copy(self) -> Tally:
        """One that can be added to."""
        return Tally(list(self.counts), list(self.exemplars), self.total, self.lines)


@dataclass(slots=True)
class Count:
    """By label values: of a histogram `tallies`, of any other metric `values`."""

    values: dict[LabelValues, float] = field(default_factory=dict)
    tallies: dict[LabelValues, Tally] = field(default_factory=dict)

    def add(self, metric: Metric, samples: Samples, migration_id: str) -> None:
        """Count what was read of a migration."""
        buckets = len(metric.buckets) + 1  # with that of infinity
        for labels, value in samples:
            if not metric.buckets:
                self.values[labels] = self.values.get(labels, 0) + value
                continue
            tally = self.tallies.get(labels)
            if tally is None:
                tally = self.tallies[labels] = Tally([0] * buckets, [None] * buckets)
            tally.add(bisect_left(metric.buckets, value), value, migration_id)

    def copy(self) -> Count:
        """One that can be added to."""
        return Count(dict(self.values), {labels: tally.copy() for labels, tally in self.tallies.items()})


@cache
def bounds(buckets: tuple[float, ...]) -> tuple[str, ...]:
    """The upper bounds of all buckets, as they are written."""
    return (*(f"{bound:g}" for bound in buckets), "+Inf")

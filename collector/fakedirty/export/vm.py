"""One VM as the exporter holds it: its last migration, what all its migrations have counted, and its samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.samples import Sample

from fakedirty.model.round import Round

from .families import sample
from .metric import Metric
from .metrics import METRICS
from .readers import ByRound, EachRound, EachToggle
from .totals import Count, Tally, bounds
from .tracked_migration import LabelValues, TrackedMigration

Samples = tuple[Sequence[Sample], ...]  # of each metric, in the order of METRICS


class ExportedVm:
    """Counters go on from one migration to the next; every other metric is of the `last` one.

    What will not change any more is counted once: all earlier migrations, and the rounds and toggles of the last one.
    """

    def __init__(self, label: str, last: TrackedMigration) -> None:
        self.label = label
        self.last = last
        self._counted = {metric.name: Count() for metric in METRICS}
        self._rounds: dict[int, tuple[Round, Samples]] = {}  # those that are shown, by number
        self._samples: Samples = ()
        self._state: tuple[object, ...] = ()  # of the last migration when its samples were made

    def begin(self, next_: TrackedMigration) -> None:
        """Count the last migration as it is now, and go on with the next one."""
        self.last.left_at = self.last.left_at or next_.started_at
        self.count()
        for metric in METRICS:
            if metric.type in ("counter", "histogram"):
                self._counted[metric.name] = self._standing(metric)
        self.last = next_
        self._state = ()

    def count(self) -> None:
        """Count the rounds and toggles that are new."""
        last, migration = self.last, self.last.migration
        before = last.rounds_counted
        for r in migration.rounds[last.rounds_counted :]:
            last.rounds_counted += 1
            last.invalid_rounds += not r.valid
            for metric in METRICS:
                if isinstance(metric.read, EachRound):
                    self._counted[metric.name].add(metric, metric.read.read(r), migration.migration_id)
        if last.rounds_counted != before:
            self._make_rounds(last.shown)
        for toggle in migration.toggles[last.toggles_counted :]:
            last.toggles_counted += 1
            for metric in METRICS:
                if isinstance(metric.read, EachToggle):
                    self._counted[metric.name].add(metric, metric.read.read(toggle), migration.migration_id)

    def show_rounds(self, most: int) -> None:
        """Have series of at most so many rounds of the last migration."""
        self.last.rounds_shown = most
        if not most:
            self._rounds.clear()

    def samples(self) -> Samples:
        """The samples of each metric, in the order of METRICS; the same ones again until something changes."""
        state = self.last.state
        if state != self._state:
            self.count()
            self._make_rounds(self.last.shown)
            self._samples = tuple(self._metric_samples(number, metric) for number, metric in enumerate(METRICS))
            self._state = state
        return self._samples

    def _make_rounds(self, rounds: Iterable[Round]) -> None:
        """Have samples of these rounds and of no others: a round that has ended has the same for ever."""
        before, self._rounds = self._rounds, {}
        for r in rounds:
            known = before.get(r.round)
            self._rounds[r.round] = known if known is not None and known[0] is r else (r, self._round_samples(r))

    def _round_samples(self, r: Round) -> Samples:
        made: list[Sequence[Sample]] = []
        for metric in METRICS:
            values = metric.read.read(r) if isinstance(metric.read, ByRound) else ()
            labels = ("vm", *metric.labels)
            made.append([sample(metric.name, labels, (self.label, *own), value) for own, value in values])
        return tuple(made)

    def _metric_samples(self, number: int, metric: Metric) -> Sequence[Sample]:
        if isinstance(metric.read, ByRound):
            return [each for _, samples in self._rounds.values() for each in samples[number]]
        count = self._standing(metric)
        labels = ("vm", *metric.labels)
        made = [sample(metric.name, labels, (self.label, *own), value) for own, value in count.values.items()]
        for own, tally in count.tallies.items():
            if tally.samples is None:
                tally.samples = list(self._tally_samples(metric, own, tally))
            made += tally.samples
        return made

    def _tally_samples(self, metric: Metric, own: LabelValues, tally: Tally) -> Iterator[Sample]:
        labels, values = ("vm", *metric.labels), (self.label, *own)
        for bound, below, exemplar in zip(bounds(metric.buckets), tally.counts, tally.exemplars, strict=True):
            yield sample(f"{metric.name}_bucket", (*labels, "le"), (*values, bound), below, exemplar)
        yield sample(f"{metric.name}_count", labels, values, tally.counts[-1])
        yield sample(f"{metric.name}_sum", labels, values, tally.total)

    def _standing(self, metric: Metric) -> Count:
        """What is counted, with the values of the last migration as it is now."""
        counted, read = self._counted[metric.name], metric.read
        if isinstance(read, EachRound | EachToggle | ByRound):
            return counted
        count = counted.copy()
        count.add(metric, read(self.last), self.last.migration.migration_id)
        return count

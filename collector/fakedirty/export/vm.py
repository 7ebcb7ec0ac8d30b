"""What the exporter holds of one VM: its last migration, what all of them have counted, and its lines as written."""

from __future__ import annotations

from collections.abc import Iterator

from .metrics import METRICS, Metric
from .readers import ByRound, EachRound, EachToggle
from .round_lines import RoundLines
from .text import Lines, Said, lines, series
from .totals import Count, Tally, bounds
from .tracked_migration import LabelValues, TrackedMigration


class ExportedVm:
    """Counters go on from one migration to the next; everything else is of the `last`.

    What will not change any more is counted: all of the migrations before, and of the last its rounds and toggles.
    """

    def __init__(self, name: str, last: TrackedMigration) -> None:
        self.name = name
        self.last = last
        self._counted = {metric.name: Count() for metric in METRICS}
        self._rounds = RoundLines(name)
        self._lines: tuple[Lines, ...] = ()
        self._state: tuple[object, ...] = ()  # of the last migration when its lines were written

    def begin(self, seen: TrackedMigration) -> None:
        """A migration that comes after the last, which is counted as it is now."""
        self.last.left_at = self.last.left_at or seen.started_at
        self.count()
        for metric in METRICS:
            if metric.type in ("counter", "histogram"):
                self._counted[metric.name] = self._standing(metric)
        self.last = seen
        self._state = ()

    def count(self) -> None:
        """Take in the rounds and toggles that are new."""
        seen, migration = self.last, self.last.migration
        before = seen.rounds_counted
        for r in migration.rounds[seen.rounds_counted :]:
            seen.rounds_counted += 1
            seen.invalid_rounds += not r.valid
            for metric in METRICS:
                if isinstance(metric.read, EachRound):
                    self._counted[metric.name].add(metric, metric.read.read(r), migration.migration_id)
        if seen.rounds_counted != before:
            self._rounds.show(seen.shown)
        for toggle in migration.toggles[seen.toggles_counted :]:
            seen.toggles_counted += 1
            for metric in METRICS:
                if isinstance(metric.read, EachToggle):
                    self._counted[metric.name].add(metric, metric.read.read(toggle), migration.migration_id)

    def lines(self) -> tuple[Lines, ...]:
        """Those of each metric, in the order of the table; written anew only if anything has changed."""
        state = self.last.state
        if state != self._state:
            self.count()
            self._rounds.show(self.last.shown)
            self._lines = tuple(self._write(metric) for metric in METRICS)
            self._state = state
        return self._lines

    def say(self, metric: Metric) -> Iterator[Said]:
        """The samples of `metric`, as they are counted."""
        count = self._standing(metric)
        own = series(metric.name, ("vm", *metric.labels))
        for labels, value in count.values.items():
            yield Said(own, (self.name, *labels), value)
        for labels, tally in count.tallies.items():
            yield from self._say_tally(metric, labels, tally)

    def _write(self, metric: Metric) -> Lines:
        if isinstance(metric.read, ByRound):
            return self._rounds.of(metric.name)
        if not metric.buckets:
            return lines(self.say(metric))
        written = [self._write_tally(metric, *each) for each in self._standing(metric).tallies.items()]
        return Lines("".join(each.prometheus for each in written), "".join(each.openmetrics for each in written))

    def _write_tally(self, metric: Metric, labels: LabelValues, tally: Tally) -> Lines:
        if tally.lines is None:
            tally.lines = lines(self._say_tally(metric, labels, tally))
        return tally.lines

    def _say_tally(self, metric: Metric, labels: LabelValues, tally: Tally) -> Iterator[Said]:
        names, own = ("vm", *metric.labels), (self.name, *labels)
        buckets = series(f"{metric.name}_bucket", (*names, "le"))
        for bound, below, exemplar in zip(bounds(metric.buckets), tally.counts, tally.exemplars, strict=True):
            yield Said(buckets, (*own, bound), below, exemplar)
        yield Said(series(f"{metric.name}_count", names), own, tally.counts[-1])
        yield Said(series(f"{metric.name}_sum", names), own, tally.total)

    def _standing(self, metric: Metric) -> Count:
        """What is counted, and what the last migration says for now."""
        counted, seen, read = self._counted[metric.name], self.last, metric.read
        if isinstance(read, EachRound | EachToggle):
            return counted
        count = counted.copy()
        for samples in [*map(read.read, seen.shown)] if isinstance(read, ByRound) else [read(seen)]:
            count.add(metric, samples, seen.migration.migration_id)
        return count

"""What the exporter holds of one VM: its last migration, what all of them have counted, and its lines as written."""

from __future__ import annotations

from collections.abc import Iterator

from .count import INFINITE, SUM, Count, bounds
from .metrics import METRICS, Metric
from .readers import ByRound, EachRound, EachToggle
from .round_lines import RoundLines
from .seen import Seen
from .text import Lines, Said, Series, lines


class Vm:
    """Counters go on from one migration to the next; everything else is of the `last`.

    What will not change any more is counted: all of the migrations before, and of the last its rounds and toggles.
    """

    def __init__(self, name: str, last: Seen) -> None:
        self.name = name
        self.last = last
        self._counted = {metric.name: Count() for metric in METRICS}
        self._rounds = RoundLines(name)
        self._lines: tuple[Lines, ...] = ()
        self._state: tuple[object, ...] = ()  # of the last migration when its lines were written

    def begin(self, seen: Seen) -> None:
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
            self._lines = tuple(self._written(metric) for metric in METRICS)
            self._state = state
        return self._lines

    def say(self, metric: Metric) -> Iterator[Said]:
        """The samples of `metric`, as they are counted."""
        count = self._standing(metric)
        if metric.buckets:
            yield from self._histogram(metric, count)
        else:
            series = Series(metric.name, ("vm", *metric.labels))
            for labels, value in count.values.items():
                yield Said(series, (self.name, *labels), value)

    def _written(self, metric: Metric) -> Lines:
        if isinstance(metric.read, ByRound):
            text = self._rounds.of(metric.name)
            return Lines(text, text)
        return lines(self.say(metric))

    def _histogram(self, metric: Metric, count: Count) -> Iterator[Said]:
        names = ("vm", *metric.labels)
        buckets = Series(f"{metric.name}_bucket", (*names, "le"))
        for labels in dict.fromkeys(key[:-1] for key in count.values):
            own = (self.name, *labels)
            for bound, _ in bounds(metric.buckets):
                key = (*labels, bound)
                yield Said(buckets, (*own, bound), count.values[key], count.exemplars.get(key))
            yield Said(Series(f"{metric.name}_count", names), own, count.values[*labels, INFINITE])
            yield Said(Series(f"{metric.name}_sum", names), own, count.values[*labels, SUM])

    def _standing(self, metric: Metric) -> Count:
        """What is counted, and what the last migration says for now."""
        counted, seen, read = self._counted[metric.name], self.last, metric.read
        if isinstance(read, EachRound | EachToggle):
            return counted
        count = Count(dict(counted.values), dict(counted.exemplars))
        for samples in [*map(read.read, seen.shown)] if isinstance(read, ByRound) else [read(seen)]:
            count.add(metric, samples, seen.migration.migration_id)
        return count

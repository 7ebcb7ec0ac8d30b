"""How metrics are read: from a migration as it is now, or once from each of its rounds or toggles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fakedirty.model.enums import Mode
from fakedirty.model.events import ModeChanged
from fakedirty.model.forecast import Estimate, Prediction
from fakedirty.model.round import Round
from fakedirty.model.skip_economy import economy

from .tracked_migration import ROUNDS_SHOWN, LabelValues, TrackedMigration

Values = Iterator[tuple[LabelValues, float]]
Read = Callable[[TrackedMigration], Values]


@dataclass(frozen=True, slots=True)
class EachRound:
    """Reads a round once, when it has ended."""

    read: Callable[[Round], Values]


@dataclass(frozen=True, slots=True)
class EachToggle:
    """Reads a toggle once."""

    read: Callable[[ModeChanged], Values]


@dataclass(frozen=True, slots=True)
class ByRound:
    """Reads each round that has series of its own; its first label value is the number of the round."""

    read: Callable[[Round], Values]


def column(name: str) -> EachRound:
    """Reads a column of the round, where it was seen."""

    @EachRound
    def read(r: Round) -> Values:
        if (value := getattr(r, name)) is not None:
            yield (), value

    return read


def columns(names: tuple[str, ...]) -> EachRound:
    """Reads several columns; the label value of each is its name without ``_pages``."""
    words = {name: (name.removesuffix("_pages"),) for name in names}

    @EachRound
    def read(r: Round) -> Values:
        for name, word in words.items():
            if (value := getattr(r, name)) is not None:
                yield word, value

    return read


def latest(name: str) -> Read:
    """Reads a column of the last finished round."""

    def read(tracked: TrackedMigration) -> Values:
        for r in tracked.migration.rounds[-1:]:
            if (value := getattr(r, name)) is not None:
                yield (), value

    return read


def by_round(each: EachRound) -> ByRound:
    """Reads the same from each round that has series of its own."""

    @ByRound
    def read(r: Round) -> Values:
        for labels, value in each.read(r):
            yield (str(r.round), *labels), value

    return read


def reported_ms(name: str) -> Read:
    """Reads a time of the last ``query-migrate``, which reports milliseconds, in seconds."""

    def read(tracked: TrackedMigration) -> Values:
        if (value := tracked.migration.reported(name)) is not None:
            yield (), value / 1e3

    return read


@EachRound
def one_by_kind(r: Round) -> Values:
    yield (str(r.kind),), 1


@EachRound
def invalid(r: Round) -> Values:
    yield (), not r.valid


@EachRound
def seconds_by_kind(r: Round) -> Values:
    yield (str(r.kind),), r.duration_seconds


@EachRound
def fake_ratio_by_kind(r: Round) -> Values:
    """Share of fake pages among the visited pages."""
    if r.fake_pages is not None and r.visited_pages:
        yield (str(r.kind),), r.fake_pages / r.visited_pages


@EachToggle
def one_by_mode(toggle: ModeChanged) -> Values:
    yield (str(toggle.to_mode),), 1


def lost_events(tracked: TrackedMigration) -> Values:
    """By the place where they were lost."""
    for where, count in dict(tracked.migration.lost_events).items():
        yield (where,), count


def over(tracked: TrackedMigration) -> Values:
    """1 for the outcome, once there is one."""
    if outcome := tracked.outcome:
        yield (outcome,), 1


def mode(tracked: TrackedMigration) -> Values:
    """1 for the mode that was seen last, 0 for the others; nothing if none was seen."""
    migration = tracked.migration
    modes = [(r.round, r.mode) for r in migration.rounds[-ROUNDS_SHOWN:] if r.mode is not None][-1:]
    modes += [(toggle.round, toggle.to_mode) for toggle in migration.toggles[-1:]]
    if modes:
        now = sorted(modes, key=lambda each: each[0])[-1][1]
        for word in Mode:
            yield (str(word),), word == now


def identity(tracked: TrackedMigration) -> Values:
    """1, by migration id and level."""
    yield (tracked.migration.migration_id, str(tracked.migration.level)), 1


def active(tracked: TrackedMigration) -> Values:
    yield (), tracked.active


def valid(tracked: TrackedMigration) -> Values:
    yield (), tracked.valid


def start_time(tracked: TrackedMigration) -> Values:
    """Unix time."""
    yield (), tracked.started_at.timestamp()


def outside_downtime(tracked: TrackedMigration) -> Values:
    """From the last instruction on the source to the first on the destination."""
    if (nanoseconds := tracked.migration.outside_downtime_ns) is not None:
        yield (), nanoseconds / 1e9


def postcopy_start(tracked: TrackedMigration) -> Values:
    """From the start of the migration until postcopy was seen to be active."""
    migration = tracked.migration
    if migration.postcopy_ns is not None:
        yield (), (migration.postcopy_ns - migration.start_ns) / 1e9


def postcopy_duration(tracked: TrackedMigration) -> Values:
    """How long postcopy took, once it is over."""
    migration = tracked.migration
    if migration.postcopy_ns is not None and migration.end_ns is not None:
        yield (), (migration.end_ns - migration.postcopy_ns) / 1e9


def postcopy_left(tracked: TrackedMigration) -> Values:
    """Pages left to postcopy, by QEMU's history of rounds."""
    if (pages := tracked.migration.reported("postcopy", "pages")) is not None:
        yield (), pages


def skip_cost(tracked: TrackedMigration) -> Values:
    """Time of hashing in the last rounds that could skip."""
    found = economy(tracked.migration.rounds, tracked.migration.channels)
    if found is not None and found.hash_seconds is not None:
        yield (), found.hash_seconds


def skip_gain(tracked: TrackedMigration) -> Values:
    """Time that sending the skipped pages would have taken."""
    if (found := economy(tracked.migration.rounds, tracked.migration.channels)) is not None:
        yield (), found.saved_seconds


def unchanged_ratio(tracked: TrackedMigration) -> Values:
    """Share of the pages sent again that have not changed."""
    if (found := tracked.migration.forecast) is not None:
        yield (), found.unchanged_ratio


def converges(tracked: TrackedMigration) -> Values:
    """By plan, 1 if the verdict expects convergence."""
    for plan, prediction in _plans(tracked):
        yield (plan,), prediction.converges


def total_times(tracked: TrackedMigration) -> Values:
    """By plan, for plans that converge."""
    for plan, prediction in _plans(tracked):
        yield from estimates(prediction.total_seconds, plan)


def downtimes(tracked: TrackedMigration) -> Values:
    """By plan, for plans that converge."""
    for plan, prediction in _plans(tracked):
        yield from estimates(prediction.downtime_seconds, plan)


def refuted(tracked: TrackedMigration) -> Values:
    """Whether the verdict is withdrawn."""
    if (found := tracked.migration.forecast) is not None:
        yield (), found.refuted is not None


def limit(tracked: TrackedMigration) -> Values:
    """The downtime limit that the verdict goes by, and its source."""
    if (found := tracked.migration.forecast) is not None:
        yield ("assumed" if found.limit_assumed else "qemu",), found.downtime_limit_seconds


def least_limits(tracked: TrackedMigration) -> Values:
    """By plan, the downtime limit from which on it converges."""
    for plan, prediction in _plans(tracked):
        yield from estimates(prediction.least_limit_seconds, plan)


def _plans(tracked: TrackedMigration) -> Iterator[tuple[str, Prediction]]:
    """The plans of the verdict; none if it is withdrawn."""
    if (found := tracked.migration.forecast) is not None and found.refuted is None:
        yield "as-is", found.as_is
        yield "skip", found.with_skip


def estimates(estimate: Estimate | None, *labels: str) -> Values:
    """The values of an estimate, with the name of each after `labels`; nothing if there is none."""
    if estimate is not None:
        yield (*labels, "low"), estimate.low
        yield (*labels, "expected"), estimate.expected
        if estimate.high is not None:
            yield (*labels, "high"), estimate.high


def rounds_not_shown(tracked: TrackedMigration) -> Values:
    yield (), max(0, len(tracked.migration.rounds) - tracked.rounds_shown)

"""How metrics are read: from a migration as it stands, or once from each of its rounds or toggles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fakedirty.model.enums import Mode
from fakedirty.model.events import ModeChanged
from fakedirty.model.forecast import Estimate, Prediction
from fakedirty.model.round import Round
from fakedirty.model.skip_economy import economy

from .tracked_migration import ROUNDS_SHOWN, LabelValues, TrackedMigration

Samples = Iterator[tuple[LabelValues, float]]
Read = Callable[[TrackedMigration], Samples]


@dataclass(frozen=True, slots=True)
class EachRound:
    """Reads a round, once it has ended."""

    read: Callable[[Round], Samples]


@dataclass(frozen=True, slots=True)
class EachToggle:
    """Reads a toggle."""

    read: Callable[[ModeChanged], Samples]


@dataclass(frozen=True, slots=True)
class ByRound:
    """Reads each of the rounds that are shown, which is the first label of what it reads."""

    read: Callable[[Round], Samples]


def column(name: str) -> EachRound:
    """The column, where it was seen."""

    @EachRound
    def read(r: Round) -> Samples:
        if (value := getattr(r, name)) is not None:
            yield (), value

    return read


def columns(names: tuple[str, ...]) -> EachRound:
    """One sample a column, labelled with the word in its name."""
    words = {name: (name.removesuffix("_pages"),) for name in names}

    @EachRound
    def read(r: Round) -> Samples:
        for name, word in words.items():
            if (value := getattr(r, name)) is not None:
                yield word, value

    return read


def latest(name: str) -> Read:
    """The column of the last finished round."""

    def read(seen: TrackedMigration) -> Samples:
        for r in seen.migration.rounds[-1:]:
            if (value := getattr(r, name)) is not None:
                yield (), value

    return read


def by_round(each: EachRound) -> ByRound:
    """The same of every round that is shown, on its own."""

    @ByRound
    def read(r: Round) -> Samples:
        for labels, value in each.read(r):
            yield (str(r.round), *labels), value

    return read


def reported_ms(name: str) -> Read:
    """A time of the last ``query-migrate``, which has it in milliseconds."""

    def read(seen: TrackedMigration) -> Samples:
        if (value := seen.migration.reported(name)) is not None:
            yield (), value / 1e3

    return read


@EachRound
def one_by_kind(r: Round) -> Samples:
    """1, by what it is."""
    yield (str(r.kind),), 1


@EachRound
def invalid(r: Round) -> Samples:
    """Whether it cannot be believed."""
    yield (), not r.valid


@EachRound
def seconds_by_kind(r: Round) -> Samples:
    """How long it took."""
    yield (str(r.kind),), r.duration_seconds


@EachRound
def fake_ratio_by_kind(r: Round) -> Samples:
    """The share of fake pages among the visited."""
    if r.fake_pages is not None and r.visited_pages:
        yield (str(r.kind),), r.fake_pages / r.visited_pages


@EachToggle
def one_by_mode(toggle: ModeChanged) -> Samples:
    """1, by the new mode."""
    yield (str(toggle.to_mode),), 1


def lost_events(seen: TrackedMigration) -> Samples:
    """By where they were lost."""
    for where, count in dict(seen.migration.lost_events).items():
        yield (where,), count


def over(seen: TrackedMigration) -> Samples:
    """1 by its outcome, once it has one."""
    if outcome := seen.outcome:
        yield (outcome,), 1


def mode(seen: TrackedMigration) -> Samples:
    """1 for the mode that QEMU is in as far as was seen, 0 for the others; nothing if never seen."""
    migration = seen.migration
    told = [(r.round, r.mode) for r in migration.rounds[-ROUNDS_SHOWN:] if r.mode is not None][-1:]
    told += [(toggle.round, toggle.to_mode) for toggle in migration.toggles[-1:]]
    if told:
        now = sorted(told, key=lambda each: each[0])[-1][1]
        for word in Mode:
            yield (str(word),), word == now


def identity(seen: TrackedMigration) -> Samples:
    """1, with what it is called and seen at."""
    yield (seen.migration.migration_id, str(seen.migration.level)), 1


def active(seen: TrackedMigration) -> Samples:
    """Whether it runs."""
    yield (), seen.active


def valid(seen: TrackedMigration) -> Samples:
    """Whether it can be believed."""
    yield (), seen.valid


def start_time(seen: TrackedMigration) -> Samples:
    """When it began."""
    yield (), seen.started_at.timestamp()


def outside_downtime(seen: TrackedMigration) -> Samples:
    """From the stop on the source to the run on the destination."""
    if (nanoseconds := seen.migration.outside_downtime_ns) is not None:
        yield (), nanoseconds / 1e9


def postcopy_start(seen: TrackedMigration) -> Samples:
    """When postcopy was seen to be active, from the start."""
    migration = seen.migration
    if migration.postcopy_ns is not None:
        yield (), (migration.postcopy_ns - migration.start_ns) / 1e9


def postcopy_duration(seen: TrackedMigration) -> Samples:
    """How long it was, once it is over."""
    migration = seen.migration
    if migration.postcopy_ns is not None and migration.end_ns is not None:
        yield (), (migration.end_ns - migration.postcopy_ns) / 1e9


def postcopy_left(seen: TrackedMigration) -> Samples:
    """Pages that were left to it, by QEMU's history of rounds."""
    if (pages := seen.migration.reported("postcopy", "pages")) is not None:
        yield (), pages


def skip_cost(seen: TrackedMigration) -> Samples:
    """What hashing took in the last rounds that could skip."""
    found = economy(seen.migration.rounds, seen.migration.channels)
    if found is not None and found.hash_seconds is not None:
        yield (), found.hash_seconds


def skip_gain(seen: TrackedMigration) -> Samples:
    """What sending the skipped pages would have taken."""
    if (found := economy(seen.migration.rounds, seen.migration.channels)) is not None:
        yield (), found.saved_seconds


def unchanged_ratio(seen: TrackedMigration) -> Samples:
    """Of what is sent again."""
    if (found := seen.migration.forecast) is not None:
        yield (), found.unchanged_ratio


def converges(seen: TrackedMigration) -> Samples:
    """By plan, 1 where the verdict is that it does."""
    for plan, prediction in _plans(seen):
        yield (plan,), prediction.converges


def total_times(seen: TrackedMigration) -> Samples:
    """By plan, of those that converge."""
    for plan, prediction in _plans(seen):
        yield from _estimates(plan, prediction.total_seconds)


def downtimes(seen: TrackedMigration) -> Samples:
    """By plan, of those that converge."""
    for plan, prediction in _plans(seen):
        yield from _estimates(plan, prediction.downtime_seconds)


def refuted(seen: TrackedMigration) -> Samples:
    """Whether what was predicted did not come true."""
    if (found := seen.migration.forecast) is not None:
        yield (), found.refuted is not None


def limit(seen: TrackedMigration) -> Samples:
    """The limit that the verdict goes by, and whose it is."""
    if (found := seen.migration.forecast) is not None:
        yield ("assumed" if found.limit_assumed else "qemu",), found.downtime_limit_seconds


def least_limits(seen: TrackedMigration) -> Samples:
    """By plan, the limit from which on it converges."""
    for plan, prediction in _plans(seen):
        yield from _estimates(plan, prediction.least_limit_seconds)


def _plans(seen: TrackedMigration) -> Iterator[tuple[str, Prediction]]:
    """Nothing of a verdict that is withdrawn."""
    if (found := seen.migration.forecast) is not None and found.refuted is None:
        yield "as-is", found.as_is
        yield "skip", found.with_skip


def _estimates(plan: str, estimate: Estimate | None) -> Samples:
    if estimate is not None:
        yield (plan, "low"), estimate.low
        yield (plan, "expected"), estimate.expected
        if estimate.high is not None:
            yield (plan, "high"), estimate.high


def rounds_not_shown(seen: TrackedMigration) -> Samples:
    """How many have no series of their own."""
    yield (), max(0, len(seen.migration.rounds) - seen.rounds_shown)

"""Every metric, as a table: its name, type, labels, meaning, and how it is read from a migration.

A value that the source cannot see is not exported, never 0. Ratios are two counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fakedirty import __version__
from fakedirty.model.round import CLASSES, DISPOSITIONS
from fakedirty.model.words import Mode

from .seen import LabelValues, Seen

ROUNDS_SHOWN = 64  # bounds the series of the last migration's rounds: its latest ones

Samples = Iterator[tuple[LabelValues, float]]
Read = Callable[[Seen], Samples]


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `labels` come after ``vm``, which every metric of a VM has; `read` gives their values.

    What a counter reads of a VM's migrations is added up; a gauge is of the last migration alone. A histogram reads
    single observations, and counts them in `buckets` (upper bounds, without that of infinity).
    """

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    read: Read
    buckets: tuple[float, ...] = ()


def _sum(column: str) -> Read:
    """The sum over the rounds that saw the column."""

    def read(seen: Seen) -> Samples:
        values = [v for r in tuple(seen.migration.rounds) if (v := getattr(r, column)) is not None]
        if values:
            yield (), sum(values)

    return read


def _sum_each(columns: tuple[str, ...]) -> Read:
    """One sample a column, labelled with the word in its name."""
    reads = {column.removesuffix("_pages"): _sum(column) for column in columns}

    def read(seen: Seen) -> Samples:
        for word, each in reads.items():
            for _, value in each(seen):
                yield (word,), value

    return read


def _latest(column: str) -> Read:
    """The value of the last finished round."""

    def read(seen: Seen) -> Samples:
        for r in tuple(seen.migration.rounds)[-1:]:
            if (value := getattr(r, column)) is not None:
                yield (), value

    return read


def _per_round(*columns: str) -> Read:
    """One sample a round and column; the word in the column's name is a label if there are several."""

    def read(seen: Seen) -> Samples:
        for r in tuple(seen.migration.rounds)[-ROUNDS_SHOWN:]:
            for column in columns:
                if (value := getattr(r, column)) is not None:
                    word = (column.removesuffix("_pages"),) if len(columns) > 1 else ()
                    yield (str(r.round), *word), value

    return read


def _reported_ms(name: str) -> Read:
    """A time of the last ``query-migrate``, which has it in milliseconds."""

    def read(seen: Seen) -> Samples:
        if (value := seen.migration.reported(name)) is not None:
            yield (), value / 1e3

    return read


def _rounds(seen: Seen) -> Samples:
    for r in tuple(seen.migration.rounds):
        yield (str(r.kind),), 1


def _invalid_rounds(seen: Seen) -> Samples:
    yield (), sum(not r.valid for r in tuple(seen.migration.rounds))


def _lost_events(seen: Seen) -> Samples:
    for where, count in dict(seen.migration.lost_events).items():
        yield (where,), count


def _toggles(seen: Seen) -> Samples:
    for toggle in tuple(seen.migration.toggles):
        yield (str(toggle.to_mode),), 1


def _migrations(seen: Seen) -> Samples:
    if outcome := seen.outcome:
        yield (outcome,), 1


def _mode(seen: Seen) -> Samples:
    """A state set: 1 for the mode that QEMU is in as far as was seen, 0 for the others; nothing if never seen."""
    told = [(r.round, r.mode) for r in tuple(seen.migration.rounds) if r.mode is not None]
    told += [(toggle.round, toggle.to_mode) for toggle in tuple(seen.migration.toggles)]
    if told:
        now = sorted(told, key=lambda each: each[0])[-1][1]
        for mode in Mode:
            yield (str(mode),), mode == now


def _info(seen: Seen) -> Samples:
    yield (seen.migration.migration_id, str(seen.migration.level)), 1


def _active(seen: Seen) -> Samples:
    yield (), seen.active


def _valid(seen: Seen) -> Samples:
    yield (), seen.migration.valid


def _start_time(seen: Seen) -> Samples:
    yield (), seen.started_at.timestamp()


def _round_times(seen: Seen) -> Samples:
    for r in tuple(seen.migration.rounds):
        yield (str(r.kind),), r.duration_seconds


def _fake_ratios(seen: Seen) -> Samples:
    for r in tuple(seen.migration.rounds):
        if r.fake_pages is not None and r.visited_pages:
            yield (str(r.kind),), r.fake_pages / r.visited_pages


def _not_shown(seen: Seen) -> Samples:
    yield (), max(0, len(seen.migration.rounds) - ROUNDS_SHOWN)


C, G, H = "counter", "gauge", "histogram"

METRICS = (
    Metric("fakedirty_pages_total", C, ("class",), "Visited pages by class: first, changed, fake.", _sum_each(CLASSES)),
    Metric(
        "fakedirty_page_dispositions_total",
        C,
        ("disposition",),
        "Visited pages by what became of them: normal, zero, xbzrle, unchanged, skipped.",
        _sum_each(DISPOSITIONS),
    ),
    Metric("fakedirty_visited_pages_total", C, (), "Dirty pages whose content was considered.", _sum("visited_pages")),
    Metric("fakedirty_hinted_pages_total", C, (), "Pages cleared by free-page hinting.", _sum("hinted_pages")),
    Metric("fakedirty_transferred_bytes_total", C, (), "Bytes sent, as QEMU counts them.", _sum("transferred_bytes")),
    Metric("fakedirty_saved_bytes_total", C, (), "Bytes that skipped pages would have cost.", _sum("saved_bytes")),
    Metric("fakedirty_hash_seconds_total", C, (), "Time spent on copying and hashing pages.", _sum("hash_seconds")),
    Metric("fakedirty_round_seconds_total", C, (), "Time spent in finished rounds.", _sum("duration_seconds")),
    Metric("fakedirty_forced_syncs_total", C, (), "Bitmap syncs within rounds.", _sum("forced_syncs")),
    Metric("fakedirty_rounds_total", C, ("kind",), "Finished rounds: bulk, iterative, switchover.", _rounds),
    Metric(
        "fakedirty_invalid_rounds_total", C, (), "Finished rounds whose counts cannot be believed.", _invalid_rounds
    ),
    Metric("fakedirty_lost_events_total", C, ("where",), "Events that never reached the collector.", _lost_events),
    Metric("fakedirty_toggles_total", C, ("mode",), "Modes that QEMU adopted, by the new mode.", _toggles),
    Metric(
        "fakedirty_migrations_total",
        C,
        ("outcome",),
        "Migrations that are over: completed, failed, cancelled, or unfinished if the end was not observed.",
        _migrations,
    ),
    Metric(
        "fakedirty_round_time_seconds",
        H,
        ("kind",),
        "Duration of finished rounds.",
        _round_times,
        (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
    ),
    Metric(
        "fakedirty_round_fake_ratio",
        H,
        ("kind",),
        "Share of fake pages among the visited pages of finished rounds.",
        _fake_ratios,
        (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1),
    ),
    Metric(
        "fakedirty_downtime_seconds",
        H,
        (),
        "Downtime of migrations, as query-migrate reports it.",
        _reported_ms("downtime"),
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    ),
    Metric("fakedirty_mode", G, ("mode",), "State set of fake-dirty-mode: 1 for the one in force.", _mode),
    Metric("fakedirty_migration_info", G, ("migration_id", "level"), "1 for the last migration.", _info),
    Metric("fakedirty_migration_active", G, (), "1 while the last migration runs.", _active),
    Metric("fakedirty_migration_valid", G, (), "1 if the last migration is valid so far.", _valid),
    Metric("fakedirty_migration_start_time_seconds", G, (), "Start of the last migration, Unix time.", _start_time),
    Metric(
        "fakedirty_migration_duration_seconds",
        G,
        (),
        "Total time of the last migration, as query-migrate reports it.",
        _reported_ms("total-time"),
    ),
    Metric(
        "fakedirty_migration_downtime_seconds",
        G,
        (),
        "Downtime of the last migration, as query-migrate reports it.",
        _reported_ms("downtime"),
    ),
    Metric(
        "fakedirty_dirty_pages", G, (), "Dirty pages at the start of the last finished round.", _latest("dirty_pages")
    ),
    Metric("fakedirty_left_pages", G, (), "Pages still dirty after the last finished round.", _latest("left_pages")),
    Metric(
        "fakedirty_round_pages",
        G,
        ("round", "class"),
        f"Visited pages by class in each of the last {ROUNDS_SHOWN} rounds of the last migration.",
        _per_round(*CLASSES),
    ),
    Metric(
        "fakedirty_round_page_dispositions",
        G,
        ("round", "disposition"),
        f"Visited pages by what became of them in each of the last {ROUNDS_SHOWN} rounds of the last migration.",
        _per_round(*DISPOSITIONS),
    ),
    Metric(
        "fakedirty_rounds_not_shown",
        G,
        (),
        f"Rounds of the last migration before the last {ROUNDS_SHOWN}, which have no series of their own.",
        _not_shown,
    ),
    Metric("fakedirty_round_dirty_pages", G, ("round",), "Dirty pages of each round.", _per_round("dirty_pages")),
    Metric("fakedirty_round_left_pages", G, ("round",), "Left pages of each round.", _per_round("left_pages")),
    Metric(
        "fakedirty_round_transferred_bytes", G, ("round",), "Bytes sent in each round.", _per_round("transferred_bytes")
    ),
    Metric("fakedirty_round_saved_bytes", G, ("round",), "Bytes saved in each round.", _per_round("saved_bytes")),
    Metric(
        "fakedirty_round_duration_seconds", G, ("round",), "Duration of each round.", _per_round("duration_seconds")
    ),
)

BUILD_INFO = ("fakedirty_build_info", ("version",), "1, with the version of the exporter.", (__version__,))

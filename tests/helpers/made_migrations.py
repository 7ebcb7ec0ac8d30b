"""Migrations made of events by hand, for tests of what comes after the model: recorder, exporter, screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from fakedirty.model.enums import Disposition, Kind, Level, Mode, PageClass
from fakedirty.model.events import (
    Closed,
    Event,
    EventsLost,
    FinalReport,
    MigrationStarted,
    ModeChanged,
    RoundEnded,
    StateChanged,
)
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.sink import PageBatch, Sink

SECOND = 10**9
START = 5_000 * SECOND


def bulk(round_: int = 1, mode: Mode = Mode.OBSERVE) -> Round:
    """All RAM of a 512 MiB guest, half of it zero."""
    return Round(
        round_, Kind.BULK, mode, "xxh3-64", 0.0, 4.25,
        dirty_pages=132_613, forced_pages=0, visited_pages=132_613,
        first_pages=132_613, changed_pages=0, fake_pages=0,
        zero_pages=61_000, normal_pages=71_613, xbzrle_pages=0, unchanged_pages=0, skipped_pages=0,
        left_pages=0, hinted_pages=0, transferred_bytes=294_000_000, saved_bytes=0, hash_seconds=0.025, forced_syncs=0,
    )  # fmt: skip


def again(round_: int, skip: bool, kind: Kind = Kind.ITERATIVE) -> Round:
    """60,000 fake and 5,000 changed pages, with 13 that a forced sync added and 3 left over."""
    return Round(
        round_, kind, Mode.SKIP if skip else Mode.OBSERVE, "xxh3-64", 4.25 + round_, 0.5,
        dirty_pages=64_990, forced_pages=13, visited_pages=65_000,
        first_pages=0, changed_pages=5_000, fake_pages=60_000,
        zero_pages=0, normal_pages=5_000 if skip else 65_000, xbzrle_pages=0, unchanged_pages=0,
        skipped_pages=60_000 if skip else 0,
        left_pages=3, hinted_pages=0,
        transferred_bytes=20_500_000 if skip else 266_500_000, saved_bytes=246_000_000 if skip else 0,
        hash_seconds=0.0125, forced_syncs=1,
    )  # fmt: skip


def unseen(round_: int = 1, kind: Kind = Kind.BULK) -> Round:
    """A round of which the source sees hardly anything."""
    return Round(round_, kind, None, None, 0.0, 1.0, dirty_pages=None, transferred_bytes=4096)


REPORT = {
    "status": "completed",
    "total-time": 6_900,
    "setup-time": 3,
    "downtime": 42,
    "ram": {"transferred": 601_500_000, "page-size": 4096, "normal": 146_613, "duplicate": 61_000},
}

EVENTS: tuple[Event, ...] = (
    MigrationStarted(START),
    ModeChanged(START, 0, Mode.OFF, Mode.OBSERVE, "xxh3-64"),
    RoundEnded(START + 4 * SECOND, bulk(), {"visited_pages": 132_613}),
    RoundEnded(START + 5 * SECOND, again(2, skip=False)),
    ModeChanged(START + 5 * SECOND, 3, Mode.OBSERVE, Mode.SKIP, "xxh3-64"),
    RoundEnded(START + 6 * SECOND, again(3, skip=True)),
    RoundEnded(START + 7 * SECOND, again(4, skip=True, kind=Kind.SWITCHOVER)),
    StateChanged(START + 7 * SECOND, "completed"),
    FinalReport(START + 8 * SECOND, REPORT),
)

LOSS: tuple[Event, ...] = (EventsLost(START + 4 * SECOND, 7, "ring buffer full"),)


def made(vm: str = "vm", migration_id: str = "m1", level: Level = Level.PATCHED) -> Migration:
    """A migration of which nothing is known yet."""
    return Migration(vm, level, migration_id, START)


def tell(migration: Migration, sinks: Sequence[Sink], events: Iterable[Event] = EVENTS, end: bool = True) -> Migration:
    """Apply `events` and pass each to `sinks`, as an observer does."""
    for sink in sinks:
        sink.started(migration)
    for event in events:
        migration.apply(event)
        for sink in sinks:
            sink.changed(migration, event)
    if end:
        closed = Closed(START + 9 * SECOND)
        migration.apply(closed)
        for sink in sinks:
            sink.changed(migration, closed)
            sink.ended(migration)
    return migration


def batch(
    first: int,
    count: int,
    round_: int = 1,
    block: str = "pc.ram",
    *,
    page_class: PageClass = PageClass.FIRST,
    disposition: Disposition = Disposition.NORMAL,
) -> PageBatch:
    """`count` pages from page `first` on, each with its own index as hash, counted down from the largest."""
    records = np.zeros(count, [("hash", "<u8"), ("tag", "<u8")])
    pages = np.arange(first, first + count, dtype=np.uint64)
    records["hash"] = np.uint64(2**64 - 1) - pages
    records["tag"] = pages << np.uint64(16) | np.uint64(page_class << 8 | disposition)
    return PageBatch(START + first, block, round_, records.tobytes())

"""Guests whose pages have known rates, migrated page by page with drawn writes: for tests of what is predicted.

Each migration is drawn by itself, so it is as good as a real one of a guest that does what the model assumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fakedirty.model.enums import Disposition, Kind, Level, Mode, PageClass
from fakedirty.model.events import Closed, FinalReport, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.sink import PageBatch
from fakedirty.record.recorder import Recorder

SECOND = 10**9
START = 5_000 * SECOND
WIRE, WHOLE, LOOK = 4104, 4096, 0.05
BATCH = 256


@dataclass(frozen=True)
class DrawnGuest:
    """Each page is written, and changed where it is visited, at rates of its own, in events a second."""

    writes: npt.NDArray[np.float64]
    changes: npt.NDArray[np.float64]

    @property
    def pages(self) -> int:
        return len(self.writes)


@dataclass(frozen=True)
class DrawnRound:
    counts: Round
    at: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    dispositions: npt.NDArray[np.int64]


@dataclass(frozen=True)
class DrawnMigration:
    """Its rounds; and its total time, downtime and bytes, which are None if it had no end."""

    rounds: list[DrawnRound]
    total: float | None
    down: float | None
    sent: int


def migrated(
    guest: DrawnGuest,
    rate: float,
    limit: float,
    *,
    skip: bool = False,
    seed: int = 1,
    rounds: int = 40,
    hashing: float = 0,
) -> DrawnMigration:
    """Migrate it over a link of `rate` bytes a second, with a downtime limit in seconds."""
    chance = np.random.default_rng(seed)
    pages = guest.pages
    dirty, known, last = np.ones(pages, bool), np.zeros(pages, bool), np.zeros(pages)
    now, place, sent, done, stopped = 0.0, 0, 0, [], False
    while len(done) < rounds:
        order = (place + np.arange(pages)) % pages
        order = order[dirty[order]]
        changed = ~known[order] | (chance.random(len(order)) < -np.expm1(-guest.changes[order] * (now - last[order])))
        sends = changed if skip else np.ones(len(order), bool)
        ends = np.cumsum(sends * WIRE / rate + hashing)
        count = len(order)
        if not stopped:
            whole = (changed if skip else sends) * WHOLE / rate + hashing
            left = whole.sum() - np.cumsum(whole)
            looks = max(1, int(np.ceil(ends[np.argmax(left <= limit)] / LOOK - 1e-9))) if count else 1
            count = int(np.searchsorted(ends, looks * LOOK, side="right"))
        took = float(ends[-1]) if len(order) and count == len(order) else (0.0 if not len(order) else looks * LOOK)
        at, kept = order[:count], len(order) - count
        classes = np.where(~known[at], PageClass.FIRST, np.where(changed[:count], PageClass.CHANGED, PageClass.FAKE))
        dispositions = np.where(sends[:count], Disposition.NORMAL, Disposition.SKIPPED)
        of = {int(each): int((classes == each).sum()) for each in PageClass}
        normal = int(sends[:count].sum())
        counts = Round(
            round=len(done) + 1,
            kind=Kind.SWITCHOVER if stopped else Kind.ITERATIVE if done else Kind.BULK,
            mode=Mode.SKIP if skip else Mode.OBSERVE,
            hash="xxh3-64",
            start_seconds=now,
            duration_seconds=took,
            dirty_pages=len(order),
            forced_pages=0,
            visited_pages=count,
            first_pages=of[PageClass.FIRST],
            changed_pages=of[PageClass.CHANGED],
            fake_pages=of[PageClass.FAKE],
            zero_pages=0,
            normal_pages=normal,
            xbzrle_pages=0,
            unchanged_pages=0,
            skipped_pages=count - normal,
            left_pages=kept,
            hinted_pages=0,
            transferred_bytes=normal * WIRE,
            saved_bytes=(count - normal) * WIRE,
            hash_seconds=count * hashing,
            forced_syncs=0,
        )
        done.append(DrawnRound(counts, at, now + ends[:count], classes, dispositions))
        last[at], known[at], dirty[at] = now + ends[:count], True, False
        sent += normal * WIRE
        now += took
        if stopped:
            return DrawnMigration(done, now, took, sent)
        place = (int(at[-1]) + 1) % pages if kept else 0
        dirty |= chance.random(pages) < -np.expm1(-guest.writes * took)
        expected = np.where(known, -np.expm1(-guest.changes * (now - last)), 1.0) if skip else np.ones(pages)
        stopped = float((expected[dirty] * WHOLE / rate + hashing).sum()) <= limit
    return DrawnMigration(done, None, None, sent)


def record(migration: DrawnMigration, out: Path, *, pages: bool = True, limit_ms: int = 300) -> Path:
    """Record it, with page records or without; the directory."""
    to, told = Recorder(out, "run"), Migration("drawn", Level.PATCHED, "m1", START, downtime_limit_ms=limit_ms)
    to.started(told)
    events = [MigrationStarted(START)]
    for each in migration.rounds:
        for first in range(0, len(each.at) if pages else 0, BATCH):
            part = slice(first, first + BATCH)
            records = np.zeros(len(each.at[part]), "<u8,<u8")
            at, classes, how = (values[part].astype(np.uint64) for values in (each.at, each.classes, each.dispositions))
            records["f1"] = at << np.uint64(16) | classes << np.uint64(8) | how
            time_ns = START + round(each.seconds[part][-1] * SECOND)
            to.pages(told, PageBatch(time_ns, "pc.ram", each.counts.round, records.tobytes()))
        counts = each.counts
        events.append(RoundEnded(START + round((counts.start_seconds + counts.duration_seconds) * SECOND), counts))
    end = events[-1].time_ns
    if migration.total is not None and migration.down is not None:
        report = {
            "status": "completed",
            "total-time": round(migration.total * 1e3),
            "downtime": round(migration.down * 1e3),
            "ram": {"transferred": migration.sent, "page-size": WHOLE},
        }
        events += [StateChanged(end, "completed"), FinalReport(end, report)]
    for event in [*events, Closed(end)]:
        told.apply(event)
        to.changed(told, event)
    to.ended(told)
    [directory] = to.directories
    return directory

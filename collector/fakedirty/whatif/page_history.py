"""The visits of a recorded migration, round by round, and what is wrong with its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from fakedirty.errors import RecordError
from fakedirty.model.enums import Disposition, Kind, PageClass
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.record.pages import page_errors, pages_of

Indexes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_ROUNDS = 64  # are read: the first, and the latest of the others. Each visit takes 19 bytes of memory


@dataclass(frozen=True, slots=True)
class RoundVisits:
    """The visited pages of one round, in the order of their visits.

    Attributes:
        round: the counts of the round.
        flaw: why nothing can be concluded from the visits; empty if something can.
        at: their positions: pages are counted through all RAM blocks, in the order in which QEMU visits them.
        seconds: when, from the start of the migration.
        first: whether nothing was known of the content.
        changed: whether the content had changed.
        zero: whether it was sent as a zero page.
    """

    round: Round
    flaw: str
    at: Indexes
    seconds: Numbers
    first: Flags
    changed: Flags
    zero: Flags


@dataclass(frozen=True, slots=True)
class PageHistory:
    """All visits.

    Attributes:
        pages: how many pages there are, or of how many there are records.
        weight: pages that each of them stands for: more than 1 if pages were sampled.
        block_ends: the position after the last page of each RAM block; shape (blocks,).
        rounds: the first, and all others that were read.
    """

    pages: int
    weight: float
    block_ends: Indexes
    rounds: Sequence[RoundVisits]


def read_history(directory: Path, migration: Migration) -> PageHistory:
    """Read the page records of a migration.

    Args:
        directory: of the migration.
        migration: what was restored from it.

    Raises:
        RecordError: it has no page records, too few to conclude anything from them, or none that can be read.
    """
    dataset = pages_of(directory)
    if dataset is None:
        raise RecordError(f"{directory} has no page records: record with `fakedirty observe --pages --out DIR`")
    rounds = migration.rounds
    if not rounds or rounds[0].kind is not Kind.BULK:
        raise RecordError(f"{directory} has no bulk round, and so no list of all pages: observe from the start")
    if len(rounds) < 2:
        raise RecordError(f"{directory} has one round: it does not show what the guest writes")
    chosen = [rounds[0], *rounds[1:][1 - MOST_ROUNDS :]]
    with page_errors(directory):
        tables = {r.round: _table(dataset, r.round) for r in chosen}
    whole = tables[rounds[0].round]
    if flaw := _flaw(rounds[0], len(whole)) or ("" if len(whole) else "it visited no page"):
        raise RecordError(f"the bulk round of {directory} is not whole ({flaw}), so its pages are not all known")
    space = _Space(_in_order(whole), list(tables.values()))
    history = PageHistory(
        pages=space.pages,
        weight=1.0 if rounds[0].sampled_pages is None else (rounds[0].visited_pages or 0) / space.pages,
        block_ends=space.ends,
        rounds=[_visits(r, tables[r.round], space, migration.start_ns) for r in chosen],
    )
    if all(visits.flaw for visits in history.rounds[1:]):
        reasons = "; ".join(dict.fromkeys(visits.flaw for visits in history.rounds[1:]))
        raise RecordError(f"no round of {directory} after the first shows what the guest writes: {reasons}")
    return history


class _Space:
    """All RAM blocks side by side. A sample has no positions of its own: its pages are numbered in their order."""

    def __init__(self, names: Sequence[str], tables: Sequence[pa.Table]) -> None:
        pages: dict[str, list[Indexes]] = {name: [] for name in names}
        for table in tables:
            for name, found in _by_block(table):
                pages.setdefault(name, []).append(found)
        self._pages = {name: np.unique(np.concatenate(parts)) for name, parts in pages.items()}
        lengths = [len(each) for each in self._pages.values()]
        self.ends: Indexes = np.cumsum(lengths, dtype=np.int64)
        self._starts = dict(zip(self._pages, self.ends - lengths, strict=True))
        self.pages = int(self.ends[-1])

    def positions(self, table: pa.Table) -> Indexes:
        """The position of each row; shape (rows,)."""
        block: Any = table["block"].combine_chunks()
        numbers, page = block.indices.to_numpy(), table["page"].to_numpy()
        positions = np.zeros(len(page), np.int64)
        for number, name in enumerate(block.dictionary.to_pylist()):
            rows = numbers == number
            if rows.any():
                positions[rows] = self._starts[name] + np.searchsorted(self._pages[name], page[rows])
        return positions


def _in_order(table: pa.Table) -> list[str]:
    """The names of the RAM blocks in the order of their first visits in the bulk round."""
    block: Any = table["block"].combine_chunks()
    numbers, rows = np.unique(block.indices.to_numpy(), return_index=True)
    words = block.dictionary.to_pylist()
    return [words[numbers[place]] for place in np.argsort(rows)]


def _by_block(table: pa.Table) -> list[tuple[str, Indexes]]:
    block: Any = table["block"].combine_chunks()
    numbers, page = block.indices.to_numpy(), table["page"].to_numpy()
    return [
        (name, page[rows])
        for number, name in enumerate(block.dictionary.to_pylist())
        if (rows := numbers == number).any()
    ]


def _table(dataset: ds.Dataset, number: int) -> pa.Table:
    columns = ["block", "page", "class", "disposition", "time_ns"]
    return dataset.to_table(columns, filter=pc.field("round") == number).unify_dictionaries()


def _flaw(r: Round, records: int) -> str:
    """Why nothing can be concluded from the visits of a round; empty if something can."""
    expected = r.visited_pages if r.sampled_pages is None else r.sampled_pages
    if not r.valid:
        return f"round {r.round} is invalid: {r.invalid_reason}"
    if r.lost_events:
        return f"round {r.round} lost {r.lost_events} events"
    if r.forced_syncs:
        return f"round {r.round} has {r.forced_syncs} forced syncs: when its pages were marked is not known"
    if expected is None:
        return f"round {r.round} has no counts"
    if expected != records:
        return f"round {r.round} visited {expected:,} pages, and {records:,} are on record"
    return ""


def _visits(r: Round, table: pa.Table, space: _Space, start_ns: int) -> RoundVisits:
    """The visits of a round. Records of a batch have one time: its pages are spread up to it, from the batch before."""
    times = (table["time_ns"].to_numpy() - start_ns) / 1e9
    order = np.argsort(times, kind="stable")
    times = times[order]
    _, begins, counts = np.unique(times, return_index=True, return_counts=True)
    before = np.concatenate([[r.start_seconds], times[begins][:-1]])
    within = np.arange(len(times)) - np.repeat(begins, counts)
    share = (within + 1) / np.repeat(counts, counts)
    start = np.repeat(np.minimum(before, times[begins]), counts)
    return RoundVisits(
        r,
        _flaw(r, len(table)),
        space.positions(table)[order],
        start + share * (times - start),
        _is(table, "class", PageClass.FIRST)[order],
        _is(table, "class", PageClass.CHANGED)[order],
        _is(table, "disposition", Disposition.ZERO)[order],
    )


def _is(table: pa.Table, column: str, word: PageClass | Disposition) -> Flags:
    equal: Any = pc.equal(table[column], pa.scalar(str(word)))
    flags: Flags = equal.fill_null(False).to_numpy()
    return flags

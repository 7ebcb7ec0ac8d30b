"""Statistics of the page records of one migration, beyond the counts of its rounds.

The records are read round by round, in blocks. Memory is bounded by the guest's pages and the visits of one round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from fakedirty.errors import RecordError
from fakedirty.model.enums import Disposition, PageClass

from .pages import page_errors, pages_of

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BlockStudy:
    """One RAM block.

    Attributes:
        block: its name.
        pages: pages that were visited at least once.
        visits: visits in all rounds.
        fake: visits of fake pages.
        skipped: visits of skipped pages.
    """

    block: str
    pages: int
    visits: int
    fake: int
    skipped: int


@dataclass(frozen=True, slots=True)
class HotPage:
    """A page with many visits; `longest_streak` is the most rounds in a row in which it was fake."""

    block: str
    page: int
    visits: int
    fake: int
    longest_streak: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Pages of the first round that were sent in full, by the hash of their content.

    Attributes:
        pages: all of them.
        distinct: different contents: deduplication could have saved ``pages - distinct`` at most.
        equal: pages whose content another of them has too.
    """

    pages: int
    distinct: int
    equal: int


@dataclass(frozen=True, slots=True)
class Picture:
    """RAM by round: a row for each round, a column for each stretch of RAM, with the blocks side by side by name.

    Attributes:
        rounds: number of each row's round.
        columns: first page of each stretch, counted through all blocks; shape (columns,).
        visits: visited pages; shape (rounds, columns).
        fake: fake pages; shape (rounds, columns).
    """

    rounds: list[int]
    columns: Numbers
    visits: npt.NDArray[np.int64]
    fake: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PageStudy:
    """All statistics. A round in which no page was visited is left out.

    Attributes:
        blocks: by name.
        hot: pages with the most visits, in descending order.
        streaks: pages that were fake in at least that many rounds in a row, by number of rounds.
        duplicates: of the first round.
        picture: RAM by round.
    """

    blocks: list[BlockStudy]
    hot: list[HotPage]
    streaks: dict[int, int]
    duplicates: Duplicates
    picture: Picture


def study(directory: Path, hot: int = 20, columns: int = 256) -> PageStudy:
    """Compute the statistics of the page records of one migration.

    Args:
        directory: of the migration.
        hot: most pages in `hot`.
        columns: most columns of the picture.

    Raises:
        RecordError: it has no page records, or none that can be read.
    """
    dataset = pages_of(directory)
    if dataset is None:
        raise RecordError(f"{directory} has no page records: record with `fakedirty observe --pages --out DIR`")
    with page_errors(directory):
        return _study(dataset, hot, columns)


def _study(dataset: ds.Dataset, hot: int, columns: int) -> PageStudy:
    space = _Space(dataset)
    visits, fake, skipped, streak, longest = (np.zeros(space.pages, np.int64) for _ in range(5))
    edges = np.unique(np.linspace(0, space.pages, columns, endpoint=False, dtype=np.int64))
    rows: dict[int, tuple[Numbers, Numbers]] = {}
    duplicates = Duplicates(0, 0, 0)
    for number, table in _rounds(dataset):
        at = space.positions(table)
        is_fake = _is(table, "class", PageClass.FAKE)
        of_round, fake_of_round = (np.bincount(which, minlength=space.pages) for which in (at, at[is_fake]))
        visits += of_round
        fake += fake_of_round
        skipped += np.bincount(at[_is(table, "disposition", Disposition.SKIPPED)], minlength=space.pages)
        # after a forced sync a page may be visited twice in a round: it is fake if it was fake both times
        streak = np.where((of_round > 0) & (of_round == fake_of_round), streak + 1, 0)
        np.maximum(longest, streak, out=longest)
        if not rows:
            duplicates = _duplicates(table)
        rows[number] = np.add.reduceat(of_round, edges), np.add.reduceat(fake_of_round, edges)
    hottest = np.argsort(-visits, kind="stable")[:hot]
    lengths = np.bincount(longest)
    return PageStudy(
        blocks=[
            BlockStudy(name, *(int(np.sum(column[part])) for column in (visits > 0, visits, fake, skipped)))
            for name, part in space.parts()
        ],
        hot=[
            HotPage(*space.name(at), int(visits[at]), int(fake[at]), int(longest[at])) for at in hottest if visits[at]
        ],
        streaks={k: int(lengths[k:].sum()) for k in range(1, len(lengths))},
        duplicates=duplicates,
        picture=Picture(list(rows), edges, *(np.array([row[part] for row in rows.values()]) for part in (0, 1))),
    )


class _Space:
    """All RAM blocks of a recording side by side, in order of their names; a position counts through all of them."""

    def __init__(self, dataset: ds.Dataset) -> None:
        last: dict[Any, Any] = {}
        for batch in dataset.to_batches(columns=["block", "page"]):
            grouped = pa.table(batch).group_by("block").aggregate([("page", "max")])
            for name, page in zip(grouped["block"].to_pylist(), grouped["page_max"].to_pylist(), strict=True):
                last[name] = max(last.get(name, 0), page)
        self._names = sorted(last)
        lengths = [last[name] + 1 for name in self._names]
        self._starts = np.cumsum([0, *lengths], dtype=np.int64)
        self.pages = int(self._starts[-1])

    def positions(self, table: pa.Table) -> Numbers:
        """The position of the page of each row; shape (rows,)."""
        block: Any = table["block"].combine_chunks()
        known = dict(zip(self._names, self._starts, strict=False))
        starts = np.array([known[name] for name in block.dictionary.to_pylist()], np.int64)
        positions: Numbers = starts[block.indices.to_numpy()] + table["page"].to_numpy()
        return positions

    def name(self, position: int) -> tuple[str, int]:
        """Name of the block, and index of the page in it, at a position."""
        block = int(np.searchsorted(self._starts, position, side="right")) - 1
        return self._names[block], int(position - self._starts[block])

    def parts(self) -> Iterator[tuple[str, slice]]:
        """Each block with its range of positions."""
        for name, start, end in zip(self._names, self._starts, self._starts[1:], strict=False):
            yield name, slice(int(start), int(end))


def _rounds(dataset: ds.Dataset) -> Iterator[tuple[int, pa.Table]]:
    """Each round with all its visits, in order."""
    numbers = sorted({ds.get_partition_keys(part.partition_expression)["round"] for part in dataset.get_fragments()})
    for number in numbers:
        table = dataset.to_table(["block", "page", "class", "disposition", "hash"], filter=pc.field("round") == number)
        yield int(number), table.unify_dictionaries()


def _is(table: pa.Table, column: str, word: PageClass | Disposition) -> Flags:
    equal: Any = pc.equal(table[column], pa.scalar(str(word)))
    flags: Flags = equal.fill_null(False).to_numpy()
    return flags


def _duplicates(table: pa.Table) -> Duplicates:
    hashes = table["hash"].to_numpy()[_is(table, "disposition", Disposition.NORMAL)]
    _values, counts = np.unique(hashes, return_counts=True)
    return Duplicates(len(hashes), len(counts), int(counts[counts > 1].sum()))

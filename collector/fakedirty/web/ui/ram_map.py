"""RAM by round, counted from the page records of one migration, file by file, during its recording or later.

The size of RAM and the number of rounds are not known beforehand. When there are too many stretches, or rows, two
neighbours become one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fakedirty.errors import RecordError
from fakedirty.model.enums import PageClass
from fakedirty.record.pages import NAME, PARTITION

MOST_STRETCHES = 384  # of all RAM blocks together, but for one that each block has
MOST_ROWS = 192
FIRST_STRETCH = 64  # pages
FILES = f"{PARTITION}=[0-9]*/[!.]*.parquet"
FILES_AT_ONCE = 8  # of a million pages each, so that a request does not take long

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows of `rounds_per_row` rounds from `first_round` on, columns of `stretch` pages, RAM blocks side by side.

    `blocks` are their names, first columns and pages seen; `files_left` are yet to be read.
    """

    first_round: int
    rounds_per_row: int
    stretch: int
    visits: Counts
    fake: Counts
    blocks: list[tuple[str, int, int]]
    files_left: int

    def plain(self) -> dict[str, Any]:
        """As JSON has it: the share of fake pages in percent by row and stretch, -1 where no page was visited."""
        shares = np.where(self.visits > 0, 100 * self.fake // np.maximum(self.visits, 1), -1)
        return {
            "first_round": self.first_round,
            "rounds_per_row": self.rounds_per_row,
            "stretch": self.stretch,
            "shares": shares.tolist(),
            "blocks": [{"name": name, "column": column, "pages": pages} for name, column, pages in self.blocks],
            "files_left": self.files_left,
        }


class RamByRound:
    """The counts so far; :meth:`read` adds what has been recorded since."""

    def __init__(self) -> None:
        self._files: set[tuple[int, str]] = set()
        self._stretch = FIRST_STRETCH
        self._rounds_per_row = 1
        self._blocks: dict[str, Counts] = {}  # visits and fake, by row and stretch
        self._pages: dict[str, int] = {}
        self._first_round = 0

    def read(self, directory: Path) -> Picture | None:
        """The picture of all files in the directory of a migration that have been read; None if there are none.

        Raises:
            RecordError: if a file cannot be read.
        """
        files = sorted((_round_of(file), file.name, file) for file in (directory / NAME).glob(FILES))
        waiting = [file for file in files if file[:2] not in self._files]
        for number, name, file in waiting[:FILES_AT_ONCE]:
            try:
                table = pq.ParquetFile(file).read(["block", "page", "class"])
                self.count(number, table)
            except (OSError, ValueError, pa.ArrowException) as error:
                if not directory.exists():  # it has just got its final name
                    break
                raise RecordError(f"cannot read {file}: {error}") from error
            self._files.add((number, name))
        return self._picture(len(waiting[FILES_AT_ONCE:])) if self._blocks else None

    @property
    def files(self) -> int:
        """How many files have been read."""
        return len(self._files)

    def count(self, number: int, table: pa.Table) -> None:
        """Add the visits of a round, or of a part of it: columns block (a dictionary), page and class."""
        self._first_round = self._first_round or number
        block: Any = table["block"].combine_chunks()
        names, which = block.dictionary.to_pylist(), block.indices.to_numpy()
        pages = table["page"].to_numpy()
        is_fake: Any = pc.equal(table["class"], pa.scalar(str(PageClass.FAKE)))
        fake = is_fake.fill_null(False).to_numpy()
        for index, name in enumerate(names):
            own = which == index if len(names) > 1 else slice(None)
            if len(pages[own]):
                self._add(name, max(0, number - self._first_round), pages[own], fake[own])

    def _add(self, name: str, at: int, pages: Counts, fake: npt.NDArray[np.bool_]) -> None:
        self._pages[name] = max(self._pages.get(name, 0), int(pages.max()) + 1)
        while at // self._rounds_per_row >= MOST_ROWS:
            self._rounds_per_row *= 2
            self._blocks = {block: _halved(counts, axis=1) for block, counts in self._blocks.items()}
        while sum(length // self._stretch for length in self._pages.values()) >= MOST_STRETCHES:
            self._stretch *= 2
            self._blocks = {block: _halved(counts, axis=2) for block, counts in self._blocks.items()}
        row, stretches = at // self._rounds_per_row, -(-self._pages[name] // self._stretch)
        counts = _grown(self._blocks.get(name, np.zeros((2, 0, 0), np.int64)), row + 1, stretches)
        places = pages // self._stretch
        for kind, chosen in enumerate((places, places[fake])):
            counts[kind, row] += np.bincount(chosen, minlength=counts.shape[2])
        self._blocks[name] = counts

    def _picture(self, files_left: int) -> Picture:
        rows = max(counts.shape[1] for counts in self._blocks.values())
        names = sorted(self._blocks)
        whole = [_grown(self._blocks[name], rows, -(-self._pages[name] // self._stretch)) for name in names]
        starts = np.cumsum([0, *(counts.shape[2] for counts in whole)])
        visits, fake = np.concatenate(whole, axis=2)
        blocks = [(name, int(start), self._pages[name]) for name, start in zip(names, starts, strict=False)]
        return Picture(self._first_round, self._rounds_per_row, self._stretch, visits, fake, blocks, files_left)


def _round_of(file: Path) -> int:
    return int(file.parent.name.partition("=")[2])


def _grown(counts: Counts, rows: int, stretches: int) -> Counts:
    """The counts with at least so many rows and stretches."""
    missing = [(0, 0), (0, max(0, rows - counts.shape[1])), (0, max(0, stretches - counts.shape[2]))]
    return np.pad(counts, missing) if any(after for _, after in missing) else counts


def _halved(counts: Counts, axis: int) -> Counts:
    """The counts with two neighbours along `axis` added up."""
    if not counts.size:
        return counts
    return np.add.reduceat(counts, np.arange(0, counts.shape[axis], 2), axis=axis)

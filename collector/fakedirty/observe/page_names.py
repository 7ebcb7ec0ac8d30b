"""Pages by their RAM block, made of pages by their place in the memory of the process. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from fakedirty.model.sink import PageBatch

from .stock_reader import PAGE_BITS
from .wire import PAGE_RECORD

#: what pages are named after that lie in no block that is known
NOWHERE = "process"
_INDEX = np.uint64(16)  # bits of a tag below the page's index


class PageNames:
    """Knows the blocks of one QEMU, each with its name, its address and its length in bytes."""

    def __init__(self, blocks: Sequence[tuple[str, int, int]]) -> None:
        ordered = sorted(blocks, key=lambda block: block[1])
        self._names = [name for name, _address, _length in ordered]
        self._starts = np.array([address >> PAGE_BITS for _name, address, _length in ordered], np.uint64)
        self._ends = np.array([address + length >> PAGE_BITS for _name, address, length in ordered], np.uint64)

    def named(self, batch: PageBatch) -> Iterator[PageBatch]:
        """The batch, cut where another block begins; pages in their order."""
        records = np.frombuffer(batch.records, PAGE_RECORD)
        pages = records["tag"] >> _INDEX
        at = np.searchsorted(self._starts, pages, side="right").astype(np.int64) - 1
        if len(self._names):
            at[(at >= 0) & (pages >= self._ends[at])] = -1
        cuts = np.flatnonzero(np.diff(at)) + 1
        for first, last in zip([0, *cuts], [*cuts, len(at)], strict=True):
            if first == last:
                continue
            block = int(at[first])
            name = self._names[block] if block >= 0 else NOWHERE
            part = records[first:last].copy()
            if block >= 0:
                part["tag"] -= self._starts[block] << _INDEX
            yield dataclasses.replace(batch, block=name, records=part.tobytes())

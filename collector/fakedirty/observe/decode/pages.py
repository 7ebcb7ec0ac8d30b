"""Page records by RAM block, made of page records by the address in the memory of the process. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fakedirty.model.sink import PageBatch

from .stock import PAGE_BITS
from .wire import PAGE_RECORD

#: the block name of pages that lie in no known block
NOWHERE = "process"
NOT_KNOWN = -1
_INDEX = np.uint64(16)  # bits of a tag below the page's index


class PageNames:
    """Finds the RAM block of each page of one QEMU.

    Args:
        blocks: name, address and length in bytes of each RAM block.
    """

    def __init__(self, blocks: Sequence[tuple[str, int, int]]) -> None:
        ordered = sorted(blocks, key=lambda block: block[1])
        self._names = [name for name, _address, _length in ordered]
        self._starts = np.array([address >> PAGE_BITS for _name, address, _length in ordered], np.uint64)
        self._ends = np.array([address + length >> PAGE_BITS for _name, address, length in ordered], np.uint64)

    def named(self, batches: Sequence[PageBatch]) -> Iterator[PageBatch]:
        """The same pages in the same order, in batches of one RAM block each, by the index in that block."""
        parts = [np.frombuffer(batch.records, PAGE_RECORD) for batch in batches]
        records = np.concatenate(parts)
        bounds = np.cumsum([0, *map(len, parts)])
        pages = records["tag"] >> _INDEX
        at = np.searchsorted(self._starts, pages, side="right").astype(np.int64) - 1
        if len(self._names):
            known = (at >= 0) & (pages < self._ends[at])
            at[~known] = NOT_KNOWN
            records["tag"] -= np.where(known, self._starts[at], 0).astype(np.uint64) << _INDEX
        cuts = np.union1d(bounds, np.flatnonzero(np.diff(at)) + 1)
        owners = np.searchsorted(bounds, cuts[:-1], side="right") - 1
        raw, size = records.view(np.uint8).data, PAGE_RECORD.itemsize
        names = [*self._names, NOWHERE]  # the index NOT_KNOWN is the last one
        for first, last, owner, block in zip(cuts, cuts[1:], owners, at[cuts[:-1]], strict=False):
            batch = batches[owner]
            yield PageBatch(batch.time_ns, names[block], batch.round, raw[first * size : last * size])

"""Page records to Parquet: batches are gathered into parts, and the parts into one file at the end.

A Parquet file cut off in the middle cannot be read at all. So what arrives is written as small whole files
into ``pages.parts/`` and put together when the migration is over; after a crash the parts stand for it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fakedirty.model.sink import PageBatch
from fakedirty.model.words import Disposition, PageClass

from .durable import replacing

PART_PAGES = 1 << 20  # pages held in memory before a part is written: 16 bytes each

#: ``struct page_record`` of probes/events.h
RECORD = np.dtype([("hash", "<u8"), ("tag", "<u8")])

Numbers = npt.NDArray[np.uint64]

WORD = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    [
        ("block", pa.dictionary(pa.int16(), pa.string())),
        ("page", pa.int64()),
        ("round", pa.int32()),
        ("class", WORD),
        ("disposition", WORD),
        ("hash", pa.uint64()),
        ("time_ns", pa.int64()),
    ]
)
# few values each; a dictionary of hashes would take three times as long. The stubs know of true and false alone
WORDS: Any = ["block", "class", "disposition"]


class PageFile:
    """The page records of one migration, in bounded memory. Every method may raise OSError."""

    def __init__(self, directory: Path, part_pages: int = PART_PAGES) -> None:
        self._directory = directory
        self._part_pages = part_pages
        self._batches: list[PageBatch] = []
        self._waiting = 0
        self._parts: list[Path] = []

    def append(self, batch: PageBatch) -> None:
        """Take a batch; writes a part when enough are gathered."""
        self._batches.append(batch)
        self._waiting += len(batch.records) // RECORD.itemsize
        if self._waiting >= self._part_pages:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a part: done at the end of every round."""
        if not self._batches:
            return
        parts = self._directory / "pages.parts"
        parts.mkdir(exist_ok=True)
        path = parts / f"{len(self._parts):06}.parquet"
        with replacing(path, sync=False) as file:
            pq.write_table(_decode(self._batches), file, compression="zstd", use_dictionary=WORDS)
        self._parts.append(path)
        self._batches, self._waiting = [], 0

    def finish(self) -> None:
        """Put the parts together into ``pages.parquet``, a row group a part; no pages, no file."""
        self.flush()
        if not self._parts:
            return
        whole = self._directory / "pages.parquet"
        with (
            replacing(whole) as file,
            pq.ParquetWriter(file, SCHEMA, compression="zstd", use_dictionary=WORDS) as writer,
        ):
            for part in self._parts:
                writer.write_table(pq.read_table(part, schema=SCHEMA))
        shutil.rmtree(self._directory / "pages.parts")


def _decode(batches: list[PageBatch]) -> pa.Table:
    """The batches as one table of :data:`SCHEMA`, decoded in blocks."""
    lengths = np.array([len(batch.records) // RECORD.itemsize for batch in batches])
    records = np.frombuffer(b"".join(batch.records for batch in batches), RECORD)
    tags = records["tag"]
    names = list(dict.fromkeys(batch.block for batch in batches))
    index = {name: number for number, name in enumerate(names)}
    blocks = np.repeat(np.array([index[batch.block] for batch in batches]), lengths)
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(blocks, pa.int16()), pa.array(names)),
        pa.array((tags >> np.uint64(16)).astype(np.int64)),
        pa.array(np.repeat(np.array([batch.round for batch in batches], np.int32), lengths)),
        _words(PageClass, (tags >> np.uint64(8)) & np.uint64(0xFF)),
        _words(Disposition, tags & np.uint64(0xFF)),
        pa.array(records["hash"]),
        pa.array(np.repeat(np.array([batch.time_ns for batch in batches], np.int64), lengths)),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _words(words: type[PageClass] | type[Disposition], numbers: Numbers) -> pa.Array[Any]:
    """Numbers of an enumeration as its words; a number that it does not have becomes null."""
    known = pa.array(numbers.astype(np.int8), pa.int8(), mask=numbers >= len(words))
    return pa.DictionaryArray.from_arrays(known, pa.array([str(word) for word in words]))

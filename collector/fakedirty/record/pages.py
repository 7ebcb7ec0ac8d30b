"""Writes page records to Parquet: a dataset partitioned by round, of files that are complete and never change.

A Parquet file that is cut off cannot be read at all. So each lot of records goes into a file of its own, and the
dataset can be read at any moment, also after a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from fakedirty.errors import RecordError
from fakedirty.model.enums import Disposition, PageClass
from fakedirty.model.sink import PageBatch

from .durable import replacing

NAME = "pages.parquet"
FILE_PAGES = 1 << 20  # pages held in memory before a file is written: 16 bytes each

#: ``struct page_record`` of probes/events.h
RECORD = np.dtype([("hash", "<u8"), ("tag", "<u8")])

Numbers = npt.NDArray[np.uint64]

WORD = pa.dictionary(pa.int8(), pa.string())
PARTITION = "round"
SCHEMA = pa.schema(
    [
        pa.field("block", pa.dictionary(pa.int16(), pa.string()), nullable=False),
        pa.field("page", pa.int64(), nullable=False),
        pa.field(PARTITION, pa.int32()),
        pa.field("class", WORD),
        pa.field("disposition", WORD),
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
    ]
)
IN_FILES = pa.schema([entry for entry in SCHEMA if entry.name != PARTITION])
# The smallest encoding of each column that costs next to no time: most pages follow each other, hashes cannot be
# compressed, and there are few words. Words have no statistics, because every file has nearly all of them.
WORDS = ["block", "class", "disposition"]
ENCODING: Any = {  # the stubs know nothing of columns here
    "use_dictionary": [*WORDS, "time_ns"],
    "column_encoding": {"page": "DELTA_BINARY_PACKED"},
    "compression": {name: "none" if name in ("page", "hash") else "zstd" for name in IN_FILES.names},
    "write_statistics": [name for name in IN_FILES.names if name not in WORDS],
}


class PageDataset:
    """The page records of one migration, written in bounded memory. Every method may raise OSError."""

    def __init__(self, directory: Path, file_pages: int = FILE_PAGES) -> None:
        self._directory = directory / NAME
        self._file_pages = file_pages
        self._batches: list[PageBatch] = []
        self._waiting = 0
        self._files = 0

    def append(self, batch: PageBatch) -> None:
        """Take a batch; the batches before are written when they are enough for a file, or of another round."""
        if self._batches and batch.round != self._batches[0].round:
            self.flush()
        self._batches.append(batch)
        self._waiting += len(batch.records) // RECORD.itemsize
        if self._waiting >= self._file_pages:
            self.flush()

    def flush(self) -> None:
        """Write the batches so far as a file: at the end of every round, and of the migration."""
        if not self._batches:
            return
        partition = self._directory / f"{PARTITION}={self._batches[0].round}"
        partition.mkdir(parents=True, exist_ok=True)
        with replacing(partition / f"{self._files:06}.parquet", sync=False) as file:
            pq.write_table(_decode(self._batches), file, **ENCODING)
        self._files += 1
        self._batches, self._waiting = [], 0


def pages_of(directory: Path) -> ds.Dataset | None:
    """The page records in the directory of a migration, to be scanned in blocks; None if there are none."""
    path = directory / NAME
    if not path.is_dir():
        return None
    partitioning = ds.partitioning(pa.schema([SCHEMA.field(PARTITION)]), flavor="hive")
    return ds.dataset(path, SCHEMA, format="parquet", partitioning=partitioning)


@contextmanager
def page_errors(directory: Path) -> Iterator[None]:
    """Turn the errors of reading the page records of a migration within the block into a RecordError."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"cannot read the page records of {directory}: {error}") from error


def _decode(batches: list[PageBatch]) -> pa.Table:
    """Batches of one round as a table of :data:`IN_FILES`, decoded in blocks."""
    lengths = np.array([len(batch.records) // RECORD.itemsize for batch in batches])
    records = np.frombuffer(b"".join(batch.records for batch in batches), RECORD)
    tags = records["tag"]
    names = list(dict.fromkeys(batch.block for batch in batches))
    index = {name: number for number, name in enumerate(names)}
    blocks = np.repeat(np.array([index[batch.block] for batch in batches]), lengths)
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(blocks, pa.int16()), pa.array(names)),
        pa.array((tags >> np.uint64(16)).astype(np.int64)),
        _words(PageClass, (tags >> np.uint64(8)) & np.uint64(0xFF)),
        _words(Disposition, tags & np.uint64(0xFF)),
        pa.array(records["hash"]),
        pa.array(np.repeat(np.array([batch.time_ns for batch in batches], np.int64), lengths)),
    ]
    return pa.Table.from_arrays(columns, schema=IN_FILES)


def _words(words: type[PageClass] | type[Disposition], numbers: Numbers) -> pa.Array[Any]:
    """Numbers of an enumeration as its words; an unknown number becomes null."""
    known = pa.array(numbers.astype(np.int8), pa.int8(), mask=numbers >= len(words))
    return pa.DictionaryArray.from_arrays(known, pa.array([str(word) for word in words]))

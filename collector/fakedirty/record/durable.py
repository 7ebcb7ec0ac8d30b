"""Writes small files as a whole or not at all, and CSV files by whole lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fakedirty.model.vm_names import encodable


@contextmanager
def replacing(path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends, and is removed if the block fails.

    Args:
        path: the file to replace.
        sync: write the content to the disk before that.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` as the whole of `path`, or raise OSError and leave nothing behind."""
    with replacing(path) as file:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
        file.write(encodable(text + "\n", backslash="\\\\").encode())


def sync_directory(path: Path) -> None:
    """Write the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DurableLines:
    """A CSV file that grows by whole lines: the kernel has each of them when :meth:`append` returns."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._file = path.open("wb", buffering=0)
        self._whole = 0
        self.append(header)

    def append(self, values: Sequence[object]) -> None:
        """Add one line; None becomes an empty field, True and False `true` and `false`. Raises OSError."""
        line = _line(values)
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._cut()
            raise
        self._whole += len(line)

    def _cut(self) -> None:
        """Remove the part of a line that was written before the disk was full."""
        try:
            self._file.truncate(self._whole)
        except OSError:
            return  # a device, or a disk that fails; readers ignore an unfinished line too

    def close(self, sync: bool = True) -> None:
        """Close the file; with `sync`, write it to the disk first."""
        with self._file:
            if sync:
                os.fsync(self._file.fileno())


def write_lines(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Replace a CSV file as a whole. Raises OSError."""
    with replacing(path) as file:
        file.writelines(map(_line, [header, *lines]))


def _line(values: Sequence[object]) -> bytes:
    text = io.StringIO()
    # the writer quotes a text that contains a character of the line end, so it is given both of them
    csv.writer(text, lineterminator="\r\n").writerow([_field(value) for value in values])
    return encodable(text.getvalue().removesuffix("\r\n") + "\n").encode()


def _field(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(round(value, 9))
        case _:
            return str(value)

"""Reads recordings as pandas frames: one migration, or all below a directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fakedirty.errors import RecordError

from .columns import DOWNTIME, MIGRATIONS, ROUNDS, TEXT, TOGGLES, TRUTH, Column
from .pages import SCHEMA, WORD, page_errors, pages_of

OF_PAGES = ("run_id", "migration_id")  # columns that identify the migration of a page record
SCHEMA_LOADED = pa.schema([*((name, WORD) for name in OF_PAGES), *SCHEMA])
NO_NUMBER = (ArithmeticError, TypeError, ValueError)  # what pandas raises where a value does not fit its column
MOST_TRIES = 20  # to read directories that are renamed or removed meanwhile


@dataclass(frozen=True)
class Recording:
    """The recordings of the migrations in `directories`, concatenated; docs/data-dictionary.md describes the columns.

    A value that the source could not see is <NA>, never 0.

    Attributes:
        directories: those that were read, in order of their paths.
        rounds: one row per round.
        migrations: one row per migration.
        toggles: one row per toggle.
        downtime: one row per part of the downtime; none of a recording that was made before there were any.
    """

    directories: tuple[Path, ...]
    rounds: pd.DataFrame
    migrations: pd.DataFrame
    toggles: pd.DataFrame
    downtime: pd.DataFrame

    @cached_property
    def pages(self) -> pd.DataFrame:
        """Page records, with `run_id` and `migration_id` first; read on first use, and empty if there are none."""
        tables = [table for directory in self.directories for table in _pages(directory)]
        return pa.concat_tables([SCHEMA_LOADED.empty_table(), *tables]).unify_dictionaries().to_pandas()


def load(path: str | Path) -> Recording:
    """Read all recordings in `path`, unfinished ones too.

    Args:
        path: the directory of a migration, or any directory above several.

    Raises:
        RecordError: there is no recording, or it cannot be read.
    """
    root = Path(path)
    if not root.is_dir():
        raise RecordError(f"{root} is not a directory; give one that `--out` wrote, or one above it")
    for _ in range(MOST_TRIES):
        try:
            directories = tuple(sorted(file.parent for file in root.rglob("manifest.json")))
        except FileNotFoundError:
            continue
        if not directories:
            raise RecordError(f"no migration was recorded in {root}: no manifest.json there or below")
        try:
            found = _read(directories)
        except RecordError:
            if _all_there(directories):
                raise
        else:
            if _all_there(directories):
                return found
    raise RecordError(f"the recordings in {root} are renamed while they are read: try again")


def _all_there(directories: Iterable[Path]) -> bool:
    """Whether none was renamed or removed meanwhile."""
    return all(directory.exists() for directory in directories)


def _read(directories: tuple[Path, ...]) -> Recording:
    return Recording(
        directories,
        rounds=_gather(ROUNDS, directories, lambda directory: _lines(directory / "rounds.csv", ROUNDS)),
        migrations=_gather(MIGRATIONS, directories, _summary),
        toggles=_gather(TOGGLES, directories, lambda directory: _lines(directory / "toggles.csv", TOGGLES)),
        downtime=_gather(DOWNTIME, directories, lambda directory: _lines(directory / "downtime.csv", DOWNTIME)),
    )


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain data; <NA> becomes None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _gather(
    columns: tuple[Column, ...], directories: tuple[Path, ...], read: Callable[[Path], pd.DataFrame]
) -> pd.DataFrame:
    frames = [read(directory) for directory in directories]
    try:
        return _typed(pd.concat(frames, ignore_index=True), columns)
    except NO_NUMBER:
        for directory, frame in zip(directories, frames, strict=True):
            try:
                _typed(frame, columns)
            except NO_NUMBER as error:
                raise RecordError(f"{directory} is not what fakedirty recorded: {error}") from error
        raise


def _typed(frame: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    known = {column.name: column.dtype for column in columns}
    frame = frame.reindex(columns=[*known, *(name for name in frame.columns if name not in known)])
    return frame.astype(known)


def _lines(file: Path, columns: tuple[Column, ...]) -> pd.DataFrame:
    """A CSV file, without a last line that a crash cut off."""
    try:
        text = _whole(file.read_bytes()).decode("utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"cannot read {file}: {error}") from error
    if not text:  # the disk was full before the first line
        return pd.DataFrame(columns=[column.name for column in columns], dtype=object)
    return _parse(file, text, columns)


def _whole(text: bytes) -> bytes:
    """`text` up to the end of its last whole line: one that has an end of line, outside quotes."""
    while text and (not text.endswith(b"\n") or text.count(b'"') % 2):
        text = text[: text[:-1].rfind(b"\n") + 1]
    return text


def _parse(file: Path, text: str, columns: tuple[Column, ...]) -> pd.DataFrame:
    dtypes = {column.name: TEXT if column.dtype == TRUTH else column.dtype for column in columns}
    try:
        frame = pd.read_csv(StringIO(text), dtype=dtypes, keep_default_na=False, na_values=[""])
    except NO_NUMBER as error:
        raise RecordError(f"{file} was not written by fakedirty: {error}") from error
    for column in columns:
        if column.dtype == TRUTH and column.name in frame:
            frame[column.name] = frame[column.name].map({"true": True, "false": False})
    for name in ("invalid_reason", "remark"):
        if name in frame:
            frame[name] = frame[name].fillna("")
    return frame


def _summary(directory: Path) -> pd.DataFrame:
    """The row of one migration; if a crash cut it off, from its manifest."""
    content = json_object(directory / "manifest.json")
    if (directory / "migration.json").exists():
        content |= json_object(directory / "migration.json")
    else:
        content["outcome"] = "unfinished"
    return pd.DataFrame([{column.name: content.get(column.name) for column in MIGRATIONS}], dtype=object)


def json_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file of a recording; RecordError if it has none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {file}: {error}") from error
    if not isinstance(content, dict):
        raise RecordError(f"{file} was not written by fakedirty: it has no JSON object")
    return content


def _pages(directory: Path) -> Iterator[pa.Table]:
    """The page records of one migration, in the order of its rounds."""
    dataset = pages_of(directory)
    if dataset is None:
        return
    manifest = json_object(directory / "manifest.json")
    for fragment in sorted(dataset.get_fragments(), key=lambda fragment: Path(fragment.path).name):
        with page_errors(directory):
            table = fragment.to_table(SCHEMA)
        zeros = pa.array(np.zeros(len(table), np.int8), pa.int8())
        identity = [pa.DictionaryArray.from_arrays(zeros, pa.array([str(manifest[name])])) for name in OF_PAGES]
        yield pa.Table.from_arrays([*identity, *table.columns], schema=SCHEMA_LOADED)

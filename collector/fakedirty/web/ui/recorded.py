"""Migrations that have been recorded below a directory: the latest ones, read when a request needs them."""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakedirty.errors import RecordError
from fakedirty.record.directory_names import PARTIAL
from fakedirty.record.load import json_object

from .live_migrations import key_of
from .other_halves import OtherHalf, other_halves

SHOWN = 50
LOOK_SECONDS = 2.0  # between two looks at the directory
DATED = len("20261124T133341Z")  # characters that a directory's name begins with


@dataclass(frozen=True, slots=True)
class Found:
    """A recording: its summary (its manifest, if it was cut off), and a stamp that changes whenever that does."""

    directory: Path
    content: dict[str, Any]
    stamp: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Recordings by key, the latest first; how many older ones there are; and the names of unreadable ones.

    `others` has the other half of each migration of which both halves are among the recordings.
    """

    found: dict[str, Found] = field(default_factory=dict)
    older: int = 0
    broken: tuple[str, ...] = ()
    others: dict[str, OtherHalf] = field(default_factory=dict)

    def stamp(self, key: str, own: str) -> str:
        """A stamp that changes whenever `own` does, or the other half."""
        return own if (other := self.others.get(key)) is None else f"{own} {other.key} {other.text}"


class Recorded:
    """The recordings below `out`; none if it is None."""

    def __init__(self, out: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = -LOOK_SECONDS
        self._read: dict[str, tuple[str, dict[str, Any] | None]] = {}  # by directory: stamp and content
        self._listing = Listing()

    def listing(self, fresh: bool = False) -> Listing:
        """The recordings that are there now, or, unless `fresh`, that were there a moment ago."""
        with self._lock:
            if self._out is not None and (fresh or self._clock() - self._looked >= LOOK_SECONDS):
                self._listing = self._look(self._out)
                self._looked = self._clock()
            return self._listing

    def _look(self, out: Path) -> Listing:
        paths = list(_directories(out))
        latest = heapq.nlargest(SHOWN, paths, key=lambda path: (os.path.basename(path)[:DATED], path))
        before, self._read = self._read, {}
        found: dict[str, Found] = {}
        broken = []
        for path in latest:
            stamp = _stamp(path)
            if stamp is None:  # it has just got its final name, or has gone
                continue
            known = before.get(path)
            content = known[1] if known is not None and known[0] == stamp else _content(Path(path))
            self._read[path] = stamp, content
            if content is None:
                broken.append("/".join(Path(path).parts[-2:]))
            else:
                found.setdefault(key_of(content["vm"], content["migration_id"]), Found(Path(path), content, stamp))
        others = self._listing.others if found == self._listing.found else _others(found)
        return Listing(found, len(paths) - len(latest), tuple(broken), others)


def _others(found: dict[str, Found]) -> dict[str, OtherHalf]:
    return other_halves({key: (each.directory, each.content) for key, each in found.items()})


def _directories(out: Path) -> Iterator[str]:
    """Directories that a recorder made, finished or not."""
    for vm in _inside(os.fspath(out)):
        for path in _inside(vm):
            if os.path.basename(path)[:DATED].endswith("Z"):
                yield path


def _inside(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [each.path for each in entries if not each.name.startswith(".") and each.is_dir()]
    except OSError:
        return []


def _stamp(path: str) -> str | None:
    """Dates and sizes of the files that its content is read from; None if it has no manifest."""
    names = ("manifest.json", "rounds.csv") if path.endswith(PARTIAL) else ("manifest.json", "migration.json")
    stamps = []
    for name in names:
        try:
            stat = os.stat(os.path.join(path, name))
            stamps.append(f"{stat.st_mtime_ns}.{stat.st_size}")
        except OSError:
            stamps.append("")
    return "-".join(stamps) if stamps[0] else None


def _content(directory: Path) -> dict[str, Any] | None:
    """Its content; None if it cannot be read."""
    try:
        manifest = json_object(directory / "manifest.json")
        summary = {} if directory.name.endswith(PARTIAL) else json_object(directory / "migration.json")
    except RecordError:
        return None
    content = {"outcome": "unfinished", **manifest, **summary}
    texts = ("vm", "migration_id", "started_at", "level", "outcome")
    return content if all(isinstance(content.get(name), str) for name in texts) else None

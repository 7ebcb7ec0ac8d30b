"""How long recordings are kept: the oldest go first, whole, and never one that is being written."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_REMOVED = ".removed-"  # begins the name of what is about to be no more: no reader takes it for a recording

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds since the last write, and bytes on disk of all; 0 is no limit."""

    seconds: float = 0.0
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.seconds or self.size)


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    written: float  # Unix time of the last write
    size: int


def prune(out: Path, limits: Limits, busy: Collection[Path] = (), now: float | None = None) -> list[Path]:
    """Remove what is beyond the limits below `out`, but for those that are `busy`; which were removed.

    A directory that cannot be removed is told of and left, as is everything that no recorder made.
    """
    moment = time.time() if now is None else now
    for rest in out.glob(f"*/{_REMOVED}*"):
        shutil.rmtree(rest, ignore_errors=True)  # of a removal that was cut off
    kept = sorted(_recordings(out), key=lambda each: (each.written, each.path))
    total = sum(each.size for each in kept)
    removed = []
    for each in kept:
        old = bool(limits.seconds) and moment - each.written > limits.seconds
        if each.path in busy or not (old or (limits.size and total > limits.size)):
            continue
        try:
            _remove(each.path)
        except OSError as error:
            _log.warning("%s is beyond the limits and cannot be removed: %s", each.path, error)
            continue
        removed.append(each.path)
        total -= each.size
    return removed


def _recordings(out: Path) -> Iterator[_Kept]:
    """Directories of migrations, finished or cut off: those with a manifest, where a recorder puts them."""
    for manifest in out.glob("*/*/manifest.json"):
        path = manifest.parent
        if path.name.startswith("."):
            continue
        try:
            stats = [entry.lstat() for entry in (path, *path.rglob("*"))]
        except FileNotFoundError:  # it has just got its final name
            continue
        yield _Kept(path, max(each.st_mtime for each in stats), sum(each.st_blocks * 512 for each in stats))


def _remove(path: Path) -> None:
    """Out of sight at once, then for good; the directory of a VM goes with its last migration."""
    gone = path.with_name(f"{_REMOVED}{path.name}")
    path.rename(gone)
    shutil.rmtree(gone)
    with suppress(OSError):  # there are others
        path.parent.rmdir()

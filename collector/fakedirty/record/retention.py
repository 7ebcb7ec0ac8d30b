"""Removes old recordings: the oldest first, each as a whole, and never one that is being written."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_REMOVED = ".removed-"  # begins the name of a recording that is being removed; readers ignore it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of recordings; 0 is no limit.

    Attributes:
        seconds: most seconds since the last write to a recording.
        size: most bytes on disk of all recordings.
    """

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
    """Remove the recordings below `out` that are beyond the limits.

    A directory that cannot be removed is logged and left. Anything that no recorder made is left too.

    Args:
        out: a directory of recordings.
        limits: their limits.
        busy: directories of migrations that are being written: these stay.
        now: Unix time; None is the present.

    Returns:
        The directories that were removed.
    """
    moment = time.time() if now is None else now
    for rest in out.glob(f"*/{_REMOVED}*"):
        shutil.rmtree(rest, ignore_errors=True)  # an earlier removal was interrupted
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
    """The directories of migrations, finished or cut off: those with a manifest, where a recorder creates them."""
    for manifest in out.glob("*/*/manifest.json"):
        path = manifest.parent
        if path.name.startswith("."):
            continue
        try:
            stats = [entry.lstat() for entry in (path, *path.rglob("*"))]
        except FileNotFoundError:  # it has just been renamed to its final name
            continue
        yield _Kept(path, max(each.st_mtime for each in stats), sum(each.st_blocks * 512 for each in stats))


def _remove(path: Path) -> None:
    """Hide a recording at once by another name, then remove it; and the directory of the VM with its last one."""
    gone = path.with_name(f"{_REMOVED}{path.name}")
    path.rename(gone)
    shutil.rmtree(gone)
    with suppress(OSError):  # the VM has other recordings
        path.parent.rmdir()

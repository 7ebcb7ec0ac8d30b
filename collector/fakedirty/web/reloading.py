"""What is made of files, made again when they change: looked at on each use, which costs a stat each."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from fakedirty.errors import UsageError

Made = TypeVar("Made")
Stamp = tuple[int, int, int] | None  # None of a file that is not there

_log = logging.getLogger(__name__)


class Fresh(Generic[Made]):
    """`make` reads `paths`, and raises UsageError if they are wrong: at first to the caller.

    Later that is logged, once for each change, and what was made before stays in force.
    """

    def __init__(self, paths: Sequence[Path], make: Callable[[], Made]) -> None:
        self._paths = paths
        self._make = make
        self._lock = threading.Lock()
        self._stamps = self._look()  # before they are read: what changes meanwhile is read again
        self._made = make()

    def get(self) -> Made:
        """What the files make now."""
        stamps = self._look()
        if stamps != self._stamps:
            with self._lock:
                if stamps != self._stamps:
                    self._stamps = stamps
                    self._make_again()
        return self._made

    def _make_again(self) -> None:
        named = ", ".join(map(str, self._paths))
        try:
            self._made = self._make()
        except UsageError as error:
            _log.error("%s; what was read of %s before stays in force", error, named)
        else:
            _log.warning("read %s again", named)

    def _look(self) -> list[Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

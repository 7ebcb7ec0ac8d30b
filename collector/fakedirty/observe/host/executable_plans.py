"""Results that are computed from an executable once, for all processes that run it.

An executable has some 100,000 symbols; to read and disassemble it takes tens of milliseconds. The result holds for
every process, unless QEMU chose another variant of a function when it started: then the pointers in its memory differ.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fakedirty.errors import FakedirtyError, TargetError
from fakedirty.linux.process_memory import Linked, ProcessMemory

from .elf import Binary
from .target import Target

MOST = 64  # results that are kept, by executable and question

LOADING_SECONDS = 2.0  # from the start of a process, in which its loader may be at work
PAUSE_SECONDS = 0.05

T = TypeVar("T")

# computes a result from an executable and the memory of one process that runs it
Make = Callable[[Binary, ProcessMemory], T]


def once_loaded(target: Target, make: Callable[[], T]) -> T:
    """The result of `make`. If it fails while the loader of `target` may still be at work, it is called again."""
    while True:
        try:
            return make()
        except (FakedirtyError, OSError):
            if not target.process.runs or target.process.age_seconds > LOADING_SECONDS:
                raise
        time.sleep(PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Known:
    """A result, and the pointers in the memory of a process on which it depends, by linked address."""

    base: int
    pointers: dict[int, int | None]
    result: Any


class ExecutablePlans:
    """A cache of results by executable and question. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[object, list[_Known]] = OrderedDict()
        self._lock = threading.Lock()

    def of_executable(self, path: Path, question: object, make: Callable[[Binary], T]) -> T:
        """The result of `make` for an executable, computed if it is not known. Its errors are raised, and not kept."""
        with self._lock:
            known = self._results(path, question)
            if not known:
                with Binary(path) as binary:
                    known.append(_Known(binary.base, {}, make(binary)))
            result: T = known[0].result
            return result

    def of(self, target: Target, question: object, make: Make[T]) -> T:
        """The result of `make` for a process, computed if it is not known. Its errors are raised, and not kept."""
        with self._lock:
            known = self._results(target.exe, question)
            for each in known:
                memory = ProcessMemory(target.proc, target.pid, _Base(each.base))
                if all(memory.linked_pointer(linked) == found for linked, found in each.pointers.items()):
                    result: T = each.result
                    return result
            with Binary(target.exe) as binary:
                recording = _RecordingMemory(target.proc, target.pid, binary)
                result = make(binary, recording)
                known.append(_Known(binary.base, recording.pointers, result))
            return result

    def _results(self, path: Path, question: object) -> list[_Known]:
        key = executable(path), question
        known = self._known.setdefault(key, [])
        self._known.move_to_end(key)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return known


def executable(path: Path) -> tuple[int, int, int, int]:
    """What identifies an executable: its device, inode, time of change in ns, and size in bytes."""
    try:
        status = path.stat()
    except OSError as error:
        raise TargetError(f"{path} cannot be read: {error.strerror or error}") from error
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size


@dataclass(frozen=True, slots=True)
class _Base:
    """The part of an executable that :class:`ProcessMemory` needs."""

    base: int


class _RecordingMemory(ProcessMemory):
    """The memory of a process, which records the pointers that were read."""

    def __init__(self, proc: Path, pid: int, binary: Linked) -> None:
        super().__init__(proc, pid, binary)
        self.pointers: dict[int, int | None] = {}

    def linked_pointer(self, linked: int) -> int | None:
        """As :meth:`ProcessMemory.linked_pointer`."""
        self.pointers[linked] = found = super().linked_pointer(linked)
        return found

"""Whether an executable is a QEMU system emulator, by texts that are built into it. Its name does not matter."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"\x7fELF"
_PART_BYTES = 4 << 20
_MOST_BYTES = 256 << 20  # that are read; behind them are only data for debuggers

# An executable that has all parts of one of these marks is an emulator. Tools of QEMU (qemu-img, qemu-nbd,
# qemu-storage-daemon) and its user emulators have none of the marks.
_MARKS = (
    # texts that it prints for -version and -help; stripping does not remove them
    (b"QEMU emulator version", b"[disk_image]"),
    # exported functions of a machine; a linker may let one name be the end of a longer one
    (b"runstate_set\0", b"qemu_system_reset\0", b"vm_start\0"),
    # trace events of a machine, if dtrace is the trace backend
    (b"qemu\0runstate_set\0", b"qemu\0vm_state_notify\0"),
)
_PARTS = frozenset(part for mark in _MARKS for part in mark)
# Every mark has one of these. Most executables have none, and are not searched any further.
_ANCHORS = frozenset([b"QEMU emulator version", b"runstate_set\0"])
_OVERLAP = max(map(len, _PARTS)) - 1

Key = tuple[int, int, int, int]  # device, inode, time of change in ns, size

NOTHING: Key = (0, 0, 0, 0)  # the key of a kernel thread, or of a process that has ended

_MOST = 4096  # executables whose result is kept; hosts that compile or run containers always have new ones
_known: dict[Key, bool] = {NOTHING: False}


def key(path: Path | str) -> Key | None:
    """What identifies an unchanged executable; None if this process may not read it. Follows links."""
    try:
        status = os.stat(path)
    except PermissionError:
        return None
    except OSError:
        return NOTHING
    if not stat.S_ISREG(status.st_mode):
        return NOTHING
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def is_emulator(path: Path | str, known_by: Key) -> bool:
    """Whether an executable is an emulator. Each one is read once; one that cannot be read is tried again next time."""
    if (known := _known.get(known_by)) is not None:
        return known
    try:
        with open(path, "rb") as file:
            known = file.read(len(_MAGIC)) == _MAGIC and _has_marks(file)
    except OSError:
        return False
    if len(_known) >= _MOST:
        _known.clear()
        _known[NOTHING] = False
    _known[known_by] = known
    return known


def is_known(known_by: Key) -> bool:
    """Whether an executable was read before, and is an emulator."""
    return _known.get(known_by, False)


def _has_marks(file: BinaryIO) -> bool:
    if not _found(file, _ANCHORS):
        return False
    found = _found(file, _PARTS)
    return any(found.issuperset(mark) for mark in _MARKS)


def _found(file: BinaryIO, wanted: frozenset[bytes]) -> set[bytes]:
    """The texts of `wanted` that are in a file."""
    file.seek(0)
    found: set[bytes] = set()
    end, length = b"", 0
    while length < _MOST_BYTES and (part := file.read(_PART_BYTES)) and found != wanted:
        text = end + part
        found |= {each for each in wanted - found if each in text}
        end, length = text[-_OVERLAP:], length + len(part)
    return found

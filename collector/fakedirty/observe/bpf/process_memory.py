"""The memory of a running process, by addresses as linked plus `bias`.

Read with process_vm_readv, which asks for CAP_SYS_PTRACE alone; ``/proc/PID/mem`` is closed to all but the owner.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Protocol


class Linked(Protocol):
    """An executable."""

    @property
    def base(self) -> int:
        """The linked address of the first byte that is mapped."""


class _IoVector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_readv.argtypes = [
    *(ctypes.c_int, ctypes.POINTER(_IoVector), ctypes.c_ulong),
    *(ctypes.POINTER(_IoVector), ctypes.c_ulong, ctypes.c_ulong),
]


class ProcessMemory:
    """Reads a process's own objects; whatever cannot be read is None (it may be gone, or not ours)."""

    def __init__(self, proc: Path, pid: int, binary: Linked) -> None:
        self._pid = pid
        self.bias = _load_address(proc, pid) - binary.base

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at an address of the running process."""
        buffer = ctypes.create_string_buffer(size)
        local = _IoVector(ctypes.addressof(buffer), size)
        remote = _IoVector(address, size)
        got = _libc.process_vm_readv(self._pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        return buffer.raw if got == size else None

    def pointer(self, address: int) -> int | None:
        """The pointer at an address of the running process."""
        raw = self.read(address, 8)
        return None if raw is None else int.from_bytes(raw, "little")

    def linked_pointer(self, linked: int) -> int | None:
        """Where the pointer at a linked address points, as a linked address."""
        target = self.pointer(linked + self.bias)
        return None if target is None else target - self.bias

    def text(self, address: int, most: int = 64) -> str | None:
        """The C string at an address of the running process."""
        for size in (most, 16):  # a short string may end right before an unmapped page
            raw = self.read(address, size)
            if raw is not None and b"\0" in raw:
                return raw.split(b"\0")[0].decode("ascii", "replace")
        return None


def _load_address(proc: Path, pid: int) -> int:
    """The lowest mapping of the executable: by inode, or by name, as layered file systems have two inodes for it."""
    directory = proc / str(pid)
    status, name = (directory / "exe").stat(), os.readlink(directory / "exe")
    for line in (directory / "maps").read_text().splitlines():
        span, _mode, _offset, _device, inode, *path = line.split(maxsplit=5)
        if int(inode) == status.st_ino or path == [name]:
            return int(span.split("-")[0], 16)
    raise FileNotFoundError(f"{directory}/maps does not name the executable")

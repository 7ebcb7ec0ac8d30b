"""The memory of a running process. `bias` is the difference between its addresses and those in its executable.

process_vm_readv needs only CAP_SYS_PTRACE. ``/proc/PID/mem`` can be opened only by the owner of the process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from . import libc


class Linked(Protocol):
    """An executable."""

    @property
    def base(self) -> int:
        """The linked address of the first byte that is mapped."""


class ProcessMemory:
    """Reads the memory of a process. What cannot be read is None: the process may have ended, or be another user's.

    Args:
        proc: where ``/proc`` is.
        pid: the process.
        binary: the executable that it runs.

    Raises:
        OSError: the mappings of the process cannot be read, or its executable is not among them.
    """

    def __init__(self, proc: Path, pid: int, binary: Linked) -> None:
        self._pid = pid
        self.bias = _load_address(proc, pid) - binary.base

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at an address of the running process."""
        try:
            content = libc.process_vm_readv(self._pid, address, size)
        except OSError:
            return None
        return content if len(content) == size else None

    def pointer(self, address: int) -> int | None:
        """The pointer at an address of the running process."""
        raw = self.read(address, 8)
        return None if raw is None else int.from_bytes(raw, "little")

    def linked_pointer(self, linked: int) -> int | None:
        """The pointer at a linked address, as a linked address."""
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
    """The lowest address at which the executable is mapped.

    Its mappings are known by the inode, or by the name: with a layered file system the executable has two inodes.
    """
    directory = proc / str(pid)
    status, name = (directory / "exe").stat(), os.readlink(directory / "exe")
    for line in (directory / "maps").read_text().splitlines():
        span, _mode, _offset, _device, inode, *path = line.split(maxsplit=5)
        if int(inode) == status.st_ino or path == [name]:
            return int(span.split("-")[0], 16)
    raise FileNotFoundError(f"{directory}/maps does not name the executable")

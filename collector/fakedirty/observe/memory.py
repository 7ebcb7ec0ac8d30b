"""The memory of a running process, by addresses as linked: ``/proc/PID/mem`` less the load address."""

from __future__ import annotations

import os
from pathlib import Path

from .elf import Binary


class ProcessMemory:
    """Reads a process's own objects; whatever cannot be read is None (it may be gone, or not ours)."""

    def __init__(self, proc: Path, pid: int, binary: Binary) -> None:
        self._path = proc / str(pid) / "mem"
        self.bias = _load_address(proc, pid) - binary.base

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at an address of the running process."""
        try:
            with self._path.open("rb", buffering=0) as memory:
                data = os.pread(memory.fileno(), size, address)
        except (OSError, OverflowError):
            return None
        return data if len(data) == size else None

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
    """The lowest mapping of the executable."""
    directory = proc / str(pid)
    status = (directory / "exe").stat()
    for line in (directory / "maps").read_text().splitlines():
        span, _mode, _offset, _device, inode = line.split()[:5]
        if int(inode) == status.st_ino:
            return int(span.split("-")[0], 16)
    raise FileNotFoundError(f"{directory}/maps does not name the executable")

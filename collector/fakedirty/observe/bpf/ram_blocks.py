"""Where the RAM blocks of a QEMU lie in its memory.

Newer QEMUs print the host address of each block in ``info ramblock``. For older ones the address is found in QEMU's
heap: ``struct RAMBlock`` has in a row the three numbers that the command prints (offset, used and total length). The
host address lies before them. The name lies after them, and shows that the block is the right one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import TargetError
from fakedirty.qmp.monitor import Monitor

NUMBERS = struct.Struct("<3Q")
HOST_BEFORE = struct.Struct("<Q8x")  # host and colo_cache, which lie before the numbers
NAME_WITHIN = 64  # bytes after the numbers, in which the name begins, after a callback and flags


@dataclass(frozen=True, slots=True)
class RamBlock:
    """A RAM block that migrates: its name, its length in bytes, its address in QEMU's memory."""

    name: str
    length: int
    address: int


def ram_blocks(qmp: Monitor, pid: int, proc: Path = Path("/proc")) -> list[RamBlock]:
    """The RAM blocks that migrate, by name. Blocks without a name never migrate.

    Raises:
        QmpError: the monitor does not answer.
        TargetError: a block is not found in QEMU's heap.
        OSError: QEMU's memory cannot be read.
    """
    heading, *lines = qmp.execute("human-monitor-command", {"command-line": "info ramblock"}).splitlines()
    if "HVA" in heading.split():
        blocks = [
            RamBlock(name, int(used, 16), int(host, 16))
            for name, _offset, used, _total, host, _access in (_columns(line, 6) for line in lines)
        ]
    else:
        heap = _heap(proc / str(pid))
        blocks = [_found(heap, *_columns(line, 4)) for line in lines]
    return sorted((block for block in blocks if block.name), key=lambda block: block.name)


def _columns(line: str, count: int) -> list[str]:
    """The name and the last `count` - 1 words of a line. Between them are the two words of the page size."""
    words = line.rsplit(maxsplit=count - 1)
    name = words[0].strip().rsplit(maxsplit=2)
    return [name[0] if len(name) == 3 else "", *words[1:]]


def _heap(process: Path) -> bytes:
    """A copy of the process's heap."""
    memory = os.open(process / "mem", os.O_RDONLY)
    try:
        return b"".join(os.pread(memory, end - start, start) for start, end in _heap_ranges(process))
    finally:
        os.close(memory)


def _heap_ranges(process: Path) -> Iterator[tuple[int, int]]:
    for line in (process / "maps").read_text().splitlines():
        if line.endswith("[heap]"):
            start, end = line.split()[0].split("-")
            yield int(start, 16), int(end, 16)


def _found(heap: bytes, name: str, offset: str, used: str, total: str) -> RamBlock:
    numbers = NUMBERS.pack(int(offset, 16), int(used, 16), int(total, 16))
    at = heap.find(numbers)
    while at >= 0:
        after = at + NUMBERS.size
        if name.encode() + b"\0" in heap[after : after + NAME_WITHIN + len(name)] and at >= HOST_BEFORE.size:
            (host,) = HOST_BEFORE.unpack_from(heap, at - HOST_BEFORE.size)
            return RamBlock(name, int(used, 16), host)
        at = heap.find(numbers, at + 1)
    raise TargetError(f"this QEMU does not print the address of RAM block {name}, and it is not found in its heap")

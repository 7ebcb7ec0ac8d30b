"""The oracle: it compares every page of every RAM block on source and destination.

It reads both memories through /proc/PID/mem, and takes from QEMU only where the blocks lie. Both VMs must be stopped.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from fakedirty.errors import LabError
from fakedirty.observe.bpf.ram_blocks import RamBlock, ram_blocks
from fakedirty.qmp.client import Qmp

CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ComparedBlock:
    """A RAM block on both sides. The digests are XXH3-128 of the whole block."""

    name: str
    pages: int
    source_digest: str
    destination_digest: str


@dataclass(frozen=True, slots=True)
class DifferingPage:
    """A page that differs; `offset` is that of its first differing byte."""

    block: str
    page: int
    offset: int


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """The result of a comparison."""

    blocks: tuple[ComparedBlock, ...]
    differing: tuple[DifferingPage, ...]

    @property
    def pages(self) -> int:
        """How many pages were compared."""
        return sum(block.pages for block in self.blocks)

    @property
    def equal(self) -> bool:
        """Whether all pages are equal. A comparison of no page is not equal."""
        return bool(self.blocks) and not self.differing

    def __str__(self) -> str:
        where = f"{self.pages:,} pages in {len(self.blocks)} RAM blocks"
        if self.equal:
            return f"memory equal: {where}"
        named = [f"{page.block} page {page.page} byte {page.offset}" for page in self.differing[:5]]
        more = f" and {len(self.differing) - 5:,} more" if len(self.differing) > 5 else ""
        return f"MEMORY DIFFERS: {len(self.differing):,} of {where}: {', '.join(named)}{more}"


@dataclass(frozen=True, slots=True)
class Side:
    """One QEMU: its monitor and its process id."""

    qmp: Qmp
    pid: int


def compare_memory(source: Side, destination: Side, page_size: int, proc: Path = Path("/proc")) -> MemoryReport:
    """Compare all RAM blocks of two stopped VMs.

    Args:
        source: the QEMU that the guest came from.
        destination: the QEMU that it is in.
        page_size: bytes of a target page, as QEMU reports it.
        proc: where procfs is mounted.

    Raises:
        LabError: the two have different RAM blocks, or one cannot be read.
    """
    ours, theirs = (ram_blocks(side.qmp, side.pid, proc) for side in (source, destination))
    if [(block.name, block.length) for block in ours] != [(block.name, block.length) for block in theirs]:
        raise LabError(f"source and destination have different RAM blocks: {_listed(ours)} and {_listed(theirs)}")
    with _memory(source.pid, proc) as first, _memory(destination.pid, proc) as second:
        compared = [_compare(first, second, *pair, page_size) for pair in zip(ours, theirs, strict=True)]
    return MemoryReport(tuple(block for block, _ in compared), tuple(page for _, pages in compared for page in pages))


def block_content(side: Side, name: str, proc: Path = Path("/proc")) -> bytes:
    """The content of RAM block `name` of a stopped VM.

    Raises:
        LabError: there is no such block, or it cannot be read.
    """
    block = next((block for block in ram_blocks(side.qmp, side.pid, proc) if block.name == name), None)
    if block is None:
        raise LabError(f"process {side.pid} has no RAM block {name}")
    with _memory(side.pid, proc) as memory:
        return _read(memory, block, 0, block.length)


def _compare(
    first: int, second: int, ours: RamBlock, theirs: RamBlock, page_size: int
) -> tuple[ComparedBlock, list[DifferingPage]]:
    digests = xxhash.xxh3_128(), xxhash.xxh3_128()
    differing: list[DifferingPage] = []
    for start in range(0, ours.length, CHUNK):
        size = min(CHUNK, ours.length - start)
        left, right = _read(first, ours, start, size), _read(second, theirs, start, size)
        digests[0].update(left)
        digests[1].update(right)
        if left != right:
            differing += _differences(left, right, ours.name, start // page_size, page_size)
    pages = -(-ours.length // page_size)
    return ComparedBlock(ours.name, pages, digests[0].hexdigest(), digests[1].hexdigest()), differing


def _differences(left: bytes, right: bytes, block: str, first_page: int, page_size: int) -> Iterator[DifferingPage]:
    for start in range(0, len(left), page_size):
        mine, other = left[start : start + page_size], right[start : start + page_size]
        if mine != other:
            offset = next(i for i, (a, b) in enumerate(zip(mine, other, strict=True)) if a != b)
            yield DifferingPage(block, first_page + start // page_size, offset)


@contextlib.contextmanager
def _memory(pid: int, proc: Path) -> Iterator[int]:
    try:
        memory = os.open(proc / str(pid) / "mem", os.O_RDONLY)
    except OSError as error:
        raise LabError(f"cannot read the memory of process {pid} ({error.strerror}): run as root") from error
    try:
        yield memory
    finally:
        os.close(memory)


def _read(memory: int, block: RamBlock, start: int, size: int) -> bytes:
    """Read `size` bytes of `block`, which the kernel may return in parts."""
    parts = []
    while size:
        part = os.pread(memory, size, block.address + start)
        if not part:
            raise LabError(f"RAM block {block.name} ends after {start} of {block.length} bytes in QEMU's memory")
        parts.append(part)
        start += len(part)
        size -= len(part)
    return b"".join(parts)


def _listed(blocks: list[RamBlock]) -> str:
    return ", ".join(f"{block.name} ({block.length} bytes)" for block in blocks) or "none"

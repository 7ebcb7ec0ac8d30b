"""The memory layouts of fuzzed guests, and the huge pages that one of them needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ONE_BLOCK, TWO_BLOCKS, HUGE_PAGES = "one RAM block", "two RAM blocks", "huge pages"

HUGE_MIB = 2
HUGE_DIRECTORY = Path("/sys/kernel/mm/hugepages") / f"hugepages-{HUGE_MIB * 1024}kB"


def _two_nodes(mib: int) -> tuple[str, ...]:
    """Half of the memory in each block, so that the page sets lie in both."""
    nodes = []
    for name in ("low", "high"):
        nodes += ["-object", f"memory-backend-ram,id={name},size={mib * 512}K", "-numa", f"node,memdev={name}"]
    return tuple(nodes)


def _huge(mib: int) -> tuple[str, ...]:
    backend = f"memory-backend-memfd,id=huge,size={mib}M,hugetlb=on,hugetlbsize={HUGE_MIB}M"
    return ("-object", backend, "-machine", "memory-backend=huge")


#: By layout: QEMU's further arguments for a guest of so many MiB.
ARGUMENTS: dict[str, Callable[[int], tuple[str, ...]]] = {
    ONE_BLOCK: lambda _mib: (),
    TWO_BLOCKS: _two_nodes,
    HUGE_PAGES: _huge,
}


@contextmanager
def reserved_huge_pages(mib: int, directory: Path = HUGE_DIRECTORY) -> Iterator[bool]:
    """Reserve huge pages in the ``with`` block; yields whether the kernel gives them all.

    Free huge pages may be for others, so they are not used.

    Args:
        mib: how many MiB more than there are already.
        directory: the kernel's pool of huge pages of one size.
    """
    number = directory / "nr_hugepages"
    if not os.access(number, os.W_OK):
        yield False
        return
    before = int(number.read_text())
    number.write_text(str(before + mib // HUGE_MIB))
    added = int(number.read_text()) - before
    try:
        yield added == mib // HUGE_MIB
    finally:
        number.write_text(str(max(int(number.read_text()) - added, 0)))

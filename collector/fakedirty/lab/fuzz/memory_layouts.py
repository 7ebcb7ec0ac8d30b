"""How the memory of a fuzzed guest is made up: a table of layouts, and the huge pages that one of them takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ONE_BLOCK, TWO_BLOCKS, HUGE_PAGES = "one RAM block", "two RAM blocks", "huge pages"

HUGE_MIB = 2
HUGE_DIRECTORY = Path("/sys/kernel/mm/hugepages") / f"hugepages-{HUGE_MIB * 1024}kB"


def _two_nodes(mib: int) -> tuple[str, ...]:
    """Half in each, so that the sets of pages lie in both."""
    nodes = []
    for name in ("low", "high"):
        nodes += ["-object", f"memory-backend-ram,id={name},size={mib * 512}K", "-numa", f"node,memdev={name}"]
    return tuple(nodes)


def _huge(mib: int) -> tuple[str, ...]:
    backend = f"memory-backend-memfd,id=huge,size={mib}M,hugetlb=on,hugetlbsize={HUGE_MIB}M"
    return ("-object", backend, "-machine", "memory-backend=huge")


#: QEMU's arguments for a guest of so many MiB, beside its size.
ARGUMENTS: dict[str, Callable[[int], tuple[str, ...]]] = {
    ONE_BLOCK: lambda _mib: (),
    TWO_BLOCKS: _two_nodes,
    HUGE_PAGES: _huge,
}


@contextmanager
def reserved_huge_pages(mib: int, directory: Path = HUGE_DIRECTORY) -> Iterator[bool]:
    """Have `mib` MiB more of huge pages in the ``with`` block, if the kernel gives them; yields whether it does.

    Those that are free already may be for others.
    """
    number = directory / "nr_hugepages"
    if not os.access(number, os.W_OK):
        yield False
        return
    before = int(number.read_text())
    number.write_text(str(before + mib // HUGE_MIB))
    got = int(number.read_text()) - before
    try:
        yield got == mib // HUGE_MIB
    finally:
        number.write_text(str(max(int(number.read_text()) - got, 0)))

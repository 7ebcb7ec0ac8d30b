"""Huge pages of the host, set aside for a test and given back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

POOLS = Path("/sys/kernel/mm/hugepages")
CACHES = Path("/proc/sys/vm/drop_caches")


@contextmanager
def huge_pages(mebibytes: int, count: int) -> Iterator[None]:
    """`count` free pages of that size. Skips the test, and says why, where the kernel has none to give."""
    pool = POOLS / f"hugepages-{mebibytes * 1024}kB"
    if not pool.exists():
        pytest.skip(f"this kernel has no huge pages of {mebibytes} MiB")
    number, free = pool / "nr_hugepages", int((pool / "free_hugepages").read_text())
    before = int(number.read_text())
    try:
        wanted = str(before + max(count - free, 0))
        number.write_text(wanted)
        if int((pool / "free_hugepages").read_text()) < count:
            CACHES.write_text("3")  # what the kernel keeps of files may lie in the way
            number.write_text(wanted)
        got = int((pool / "free_hugepages").read_text())
        if got < count:
            pytest.skip(f"the kernel has {got} of {count} huge pages of {mebibytes} MiB: memory is short, or in pieces")
        yield
    finally:
        number.write_text(str(before))


def on_huge_pages(memory_mib: int, mebibytes: int) -> list[str]:
    """QEMU's options for a guest whose RAM lies on them."""
    backend = f"memory-backend-memfd,id=huge,size={memory_mib}M,hugetlb=on,hugetlbsize={mebibytes}M"
    return ["-object", backend, "-machine", "memory-backend=huge"]

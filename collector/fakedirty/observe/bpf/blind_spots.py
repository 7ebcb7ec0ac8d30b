"""Ways that pages take past the probes of the levels stock and usdt, each known by a function that only it calls.

The index is the bit in ``stock_counts.bypassed``. A round in which pages went past its level has no counts of pages.
"""

from __future__ import annotations

from fakedirty.model.enums import Level

MULTIFD, XBZRLE, COMPRESSION, MAPPED_RAM, COPIED = range(5)

BYPASSES = (
    ("multifd_queue_page", "multifd sends pages from its own threads, and this executable does not tell where"),
    ("cache_is_cached", "xbzrle sends pages as deltas"),
    ("qemu_put_qemu_file", "compression sends pages from its own threads"),
    ("qemu_put_buffer_at", "mapped-ram writes pages to a file"),
    ("fake_dirty_visit", "this QEMU hashes pages itself, and sends copies of them (choose level patched)"),
)

# ram_save_page is traced before a page takes either of the other two ways
PAST = {
    Level.STOCK: frozenset({MULTIFD, XBZRLE, COMPRESSION, MAPPED_RAM, COPIED}),
    Level.USDT: frozenset({MULTIFD, COMPRESSION, COPIED}),
}


def reasons(mask: int, level: Level) -> str:
    """What a mask of ways says against the counts of a level, for a person; empty for nothing."""
    return "; ".join(BYPASSES[bit][1] for bit in sorted(PAST[level]) if mask >> bit & 1)

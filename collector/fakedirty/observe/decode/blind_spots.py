"""Routes of pages that pass by the probes of the levels stock and usdt, each known by a function that only it calls.

A round in which pages took such a route has no counts of pages. The index of a route is its bit in
``stock_counts.bypassed``.
"""

from __future__ import annotations

from fakedirty.model.enums import Level

MULTIFD, XBZRLE, COMPRESSION, MAPPED_RAM, COPIED = range(5)

#: a function of each route, and why its pages are not counted
BYPASSES = (
    ("multifd_queue_page", "multifd sends pages from its own threads, and in this executable the place is not known"),
    ("cache_is_cached", "xbzrle sends pages as deltas"),
    ("qemu_put_qemu_file", "compression sends pages from its own threads"),
    ("qemu_put_buffer_at", "mapped-ram writes pages to a file"),
    ("fake_dirty_visit", "this QEMU hashes pages itself, and sends copies of them (choose level patched)"),
)

#: the routes whose pages a level misses; the trace event ram_save_page comes before XBZRLE and MAPPED_RAM
MISSED = {
    Level.STOCK: frozenset({MULTIFD, XBZRLE, COMPRESSION, MAPPED_RAM, COPIED}),
    Level.USDT: frozenset({MULTIFD, COMPRESSION, COPIED}),
}


def reasons(mask: int, level: Level) -> str:
    """Why a level has no counts of pages where pages took the routes in `mask`; empty if it has them."""
    return "; ".join(BYPASSES[bit][1] for bit in sorted(MISSED[level]) if mask >> bit & 1)

"""Ways that pages take past the probes of the stock level, each known by a function that only it calls.

The index is the bit in ``stock_counts.bypassed``. A round with any of them has no counts of pages.
"""

from __future__ import annotations

BYPASSES = (
    ("multifd_queue_page", "multifd sends pages from its own threads"),
    ("cache_is_cached", "xbzrle sends pages as deltas"),
    ("qemu_put_qemu_file", "compression sends pages from its own threads"),
    ("qemu_put_buffer_at", "mapped-ram writes pages to a file"),
)


def reasons(mask: int) -> str:
    """What a mask of ways says, for a person; empty for none."""
    return "; ".join(reason for bit, (_symbol, reason) in enumerate(BYPASSES) if mask >> bit & 1)

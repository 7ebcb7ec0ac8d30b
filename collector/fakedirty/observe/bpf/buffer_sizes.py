"""Sizes of the buffers that the kernel keeps for the reader. What does not fit is lost, and counted as lost."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.errors import UsageError

RING_PAGE = 4096  # bytes; a ring buffer has a power of two of such pages
_MOST_MIB = 1024


@dataclass(frozen=True, slots=True)
class BufferSizes:
    """Sizes of ring buffers and maps.

    Attributes:
        event_ring: the ring buffer of events, in pages of 4 KiB.
        page_ring: that of page records, in pages of 4 KiB. As many bytes may also wait for the reader of each guest.
        chunks: how many chunks of guest pages are kept at levels stock and usdt; None: enough for the host's memory.
        batches: how many threads of a build may report page records at once at level patched; 4.4 KB each.
    """

    event_ring: int = 64
    page_ring: int = 4096
    chunks: int | None = None
    batches: int = 256

    def defines(self) -> dict[str, int]:
        """Macros with which the probes are compiled."""
        return {"EVENT_RING": self.event_ring, "PAGE_RING": self.page_ring, "BATCHES": self.batches}


DEFAULT = BufferSizes()


def with_page_ring(mebibytes: int) -> BufferSizes:
    """Sizes with room for `mebibytes` MiB of page records. Raises UsageError if the kernel would refuse that."""
    if not 1 <= mebibytes <= _MOST_MIB or mebibytes & (mebibytes - 1):
        raise UsageError(f"--page-ring is a power of two from 1 to {_MOST_MIB} (MiB), not {mebibytes}")
    return BufferSizes(page_ring=mebibytes * (1 << 20) // RING_PAGE)

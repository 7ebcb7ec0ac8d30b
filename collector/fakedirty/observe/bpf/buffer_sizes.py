"""Room for what the kernel keeps for a reader. What does not fit is lost, and counted."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.errors import UsageError

RING_PAGE = 4096  # bytes; the kernel counts ring buffers in pages, and wants a power of two of them
_MOST_MIB = 1024


@dataclass(frozen=True, slots=True)
class BufferSizes:
    """Ring buffers in pages of 4 KiB; `chunks` of guest pages whose content is remembered, None: for all of the host.

    As many page records as the ring buffer holds may also wait for the reader of one guest. `batches` is how many
    threads of a build may report pages at the same moment, at level patched: 4.4 KB each.
    """

    event_ring: int = 64
    page_ring: int = 4096
    chunks: int | None = None
    batches: int = 256

    def defines(self) -> dict[str, int]:
        """What the probes are compiled with."""
        return {"EVENT_RING": self.event_ring, "PAGE_RING": self.page_ring, "BATCHES": self.batches}


DEFAULT = BufferSizes()


def with_page_ring(mebibytes: int) -> BufferSizes:
    """Sizes with room for so much of page records; UsageError for what the kernel would refuse."""
    if not 1 <= mebibytes <= _MOST_MIB or mebibytes & (mebibytes - 1):
        raise UsageError(f"--page-ring is a power of two from 1 to {_MOST_MIB} (MiB), not {mebibytes}")
    return BufferSizes(page_ring=mebibytes * (1 << 20) // RING_PAGE)

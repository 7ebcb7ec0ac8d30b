"""What the kernel has to say of one observed process, on its way from the thread that reads to whoever it is for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from fakedirty.model.trace import Channel, TraceRecord


class ProcessFeed:
    """Records of one process, first in, first out.

    It holds page records of `budget` bytes. One guest whose records nobody takes in time loses its own, and no other's.
    """

    def __init__(self, slot: int, budget: int) -> None:
        self.slot = slot
        self.late = 0  # batches of page records that found no room
        self.ready: Callable[[], None] | None = None  # called when something came, by the thread that reads
        self._budget = budget
        self._records: deque[TraceRecord] = deque()
        self._page_bytes = 0
        self._lock = threading.Lock()
        self._news = threading.Event()

    def put(self, records: Sequence[TraceRecord]) -> None:
        """Add records of one reading of the ring buffers."""
        with self._lock:
            for record in records:
                if record.channel is Channel.PAGES:
                    if self._page_bytes + len(record.data) > self._budget:
                        self.late += 1
                        continue
                    self._page_bytes += len(record.data)
                self._records.append(record)
        self.wake()

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._news.set()
        if self.ready is not None:
            self.ready()

    def take(self, timeout: float) -> list[TraceRecord]:
        """All that came; waits up to `timeout` seconds where nothing did."""
        if not self._records:
            self._news.wait(timeout)
        with self._lock:
            self._news.clear()
            taken = list(self._records)
            self._records.clear()
            self._page_bytes = 0
        return taken

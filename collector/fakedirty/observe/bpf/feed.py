"""Events of one observed process, on their way from the thread that reads ring buffers to the tracer of the process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from fakedirty.model.trace import Channel, TraceRecord


class ProcessFeed:
    """A queue of records of one process. Every method may be called from any thread.

    It holds page records of up to `budget` bytes. If they are not taken in time, more of them are lost; the feeds of
    other processes lose nothing.
    """

    def __init__(self, slot: int, budget: int) -> None:
        self.slot = slot
        self.late = 0  # batches of page records that were lost
        self.ready: Callable[[], None] | None = None  # called after each :meth:`put`, by the thread that reads
        self._budget = budget
        self._records: deque[TraceRecord] = deque()
        self._page_bytes = 0
        self._lock = threading.Lock()
        self._news = threading.Event()

    def put(self, records: Sequence[TraceRecord]) -> None:
        """Add records that were read together from the ring buffers."""
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
        """End a :meth:`take` that waits, and call `ready`."""
        self._news.set()
        if self.ready is not None:
            self.ready()

    def take(self, timeout: float) -> list[TraceRecord]:
        """Take all records; if there are none, wait up to `timeout` seconds for one."""
        if not self._records:
            self._news.wait(timeout)
        with self._lock:
            self._news.clear()
            taken = list(self._records)
            self._records.clear()
            self._page_bytes = 0
        return taken

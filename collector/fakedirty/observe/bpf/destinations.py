"""Which feeds get the run states and the switchover of a process: those of a destination go to its source, too."""

from __future__ import annotations

import threading

from .feed import ProcessFeed


class Destinations:
    """Feeds by process id. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._feeds: dict[int, tuple[ProcessFeed, ...]] = {}
        self._lock = threading.Lock()

    def add(self, pid: int, feed: ProcessFeed) -> None:
        """Let a feed get these events of a process."""
        with self._lock:
            self._feeds[pid] = (*self._feeds.get(pid, ()), feed)

    def remove(self, pid: int, feed: ProcessFeed) -> None:
        """Let a feed get these events of a process no more."""
        with self._lock:
            left = tuple(each for each in self._feeds.get(pid, ()) if each is not feed)
            if left:
                self._feeds[pid] = left
            else:
                self._feeds.pop(pid, None)

    def of(self, pid: int) -> tuple[ProcessFeed, ...]:
        """The feeds that get these events of a process."""
        return self._feeds.get(pid, ())

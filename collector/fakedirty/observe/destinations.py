"""Whose run states are wanted by whom: those of a destination are, by whoever observes the source."""

from __future__ import annotations

import threading

from fakedirty.observe.bpf.feed import ProcessFeed


class Destinations:
    """Which feeds want the run states of which process."""

    def __init__(self) -> None:
        self._feeds: dict[int, tuple[ProcessFeed, ...]] = {}
        self._lock = threading.Lock()

    def join(self, pid: int, feed: ProcessFeed) -> None:
        """One more."""
        with self._lock:
            self._feeds[pid] = (*self._feeds.get(pid, ()), feed)

    def part(self, pid: int, feed: ProcessFeed) -> None:
        """One less."""
        with self._lock:
            left = tuple(each for each in self._feeds.get(pid, ()) if each is not feed)
            if left:
                self._feeds[pid] = left
            else:
                self._feeds.pop(pid, None)

    def of(self, pid: int) -> tuple[ProcessFeed, ...]:
        """Those of a process."""
        return self._feeds.get(pid, ())

"""One thread that reads the ring buffers of all builds, and waits for the end of all observed processes."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Ring buffers that can be read."""

    def fileno(self) -> int:
        """A descriptor that is readable while something waits in them."""

    def drain(self) -> None:
        """Take all events that wait and distribute them. Does not wait."""


class Dispatcher:
    """Drains sources when something waits in them, and calls back when a process has ended.

    Every method may be called from any thread. Sources are drained, added and removed by one thread at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sources: dict[int, Source] = {}
        self._processes: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def add(self, source: Source) -> None:
        """Begin to drain a source."""
        with self._lock:
            self._sources[source.fileno()] = source
            self._epoll.register(source.fileno(), select.EPOLLIN)

    def remove(self, source: Source) -> None:
        """Stop draining a source."""
        with self._lock:
            if self._sources.pop(source.fileno(), None) is not None:
                self._epoll.unregister(source.fileno())

    def watch(self, process: int, ended: Callable[[], None]) -> None:
        """Call `ended` once, when the process behind the pidfd `process` has ended."""
        with self._lock:
            self._processes[process] = ended
            self._epoll.register(process, select.EPOLLIN | select.EPOLLONESHOT)

    def unwatch(self, process: int) -> None:
        """Stop waiting for a process. Must be called before its pidfd is closed."""
        with self._lock:
            if self._processes.pop(process, None) is not None:
                self._epoll.unregister(process)

    def flush(self) -> None:
        """Drain all sources now."""
        with self._lock:
            for source in self._sources.values():
                source.drain()

    def close(self) -> None:
        """End the thread. Sources and pidfds stay open."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._stop)

    def _run(self) -> None:
        while True:
            ready = [descriptor for descriptor, _events in self._epoll.poll()]
            if self._stop in ready:
                return
            for descriptor in ready:
                try:
                    self._serve(descriptor)
                except Exception:  # noqa: BLE001 - the others are to be served
                    _log.exception("events of the kernel could not be distributed, a fault of fakedirty")

    def _serve(self, descriptor: int) -> None:
        with self._lock:
            source, ended = self._sources.get(descriptor), self._processes.get(descriptor)
            if source is not None:
                source.drain()
        if ended is not None:
            ended()

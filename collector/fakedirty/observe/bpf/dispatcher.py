"""One thread that waits for everything that the kernel has to say, however many processes are observed."""

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
        """A descriptor that can be read while something waits in them."""

    def drain(self) -> None:
        """Take all that waits and hand it on. Does not wait."""


class Dispatcher:
    """Drains sources when something waits in them, and calls back when a process has ended.

    Sources are drained, added and removed by one thread at a time.
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
        """Drain it from now on."""
        with self._lock:
            self._sources[source.fileno()] = source
            self._epoll.register(source.fileno(), select.EPOLLIN)

    def remove(self, source: Source) -> None:
        """Drain it no more."""
        with self._lock:
            if self._sources.pop(source.fileno(), None) is not None:
                self._epoll.unregister(source.fileno())

    def watch(self, process: int, ended: Callable[[], None]) -> None:
        """Call `ended` once when the process behind a pidfd has."""
        with self._lock:
            self._processes[process] = ended
            self._epoll.register(process, select.EPOLLIN | select.EPOLLONESHOT)

    def unwatch(self, process: int) -> None:
        """Before the pidfd is closed."""
        with self._lock:
            if self._processes.pop(process, None) is not None:
                self._epoll.unregister(process)

    def flush(self) -> None:
        """Hand on all that has happened up to now."""
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
                    _log.exception("records of the kernel could not be handed on, by a fault of ours")

    def _serve(self, descriptor: int) -> None:
        with self._lock:
            source, ended = self._sources.get(descriptor), self._processes.get(descriptor)
            if source is not None:
                source.drain()
        if ended is not None:
            ended()

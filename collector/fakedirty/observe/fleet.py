"""Every QEMU of the host at once: they are found, observed each by an observer of its own, and let go.

One thread reads all of them, so that sinks are told from one; another attaches, which takes seconds of compiling,
so that nothing waits for it but the QEMU that is new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from fakedirty.errors import FakedirtyError

from .observer import Observer
from .target import Target, find_all

SEARCH_SECONDS = 1.0
PAUSE_SECONDS = 0.05  # between two rounds of reading; buffers hold what happens meanwhile

_log = logging.getLogger(__name__)

Identity = tuple[int, int]  # process id and start time: ids are used again


class Fleet:
    """All QEMUs that `find` finds: `make` makes the observer of one, `attached` is told when it is at work."""

    def __init__(
        self,
        make: Callable[[Target], Observer],
        find: Callable[[], Iterable[Target]] = find_all,
        attached: Callable[[Target], None] = lambda target: None,
    ) -> None:
        self._make = make
        self._find = find
        self._attached = attached
        self._observers: dict[Identity, Observer] = {}
        self._coming: dict[Identity, Future[Observer | None]] = {}
        self._seen: set[Identity] = set()
        self.valid = True  # whether all migrations that were seen to their end can be believed

    def run(self, stop: Callable[[], bool]) -> None:
        """Observe until `stop` says so."""
        searched = -SEARCH_SECONDS
        pool = ThreadPoolExecutor(1, thread_name_prefix="attach")
        try:
            while not stop():
                if time.monotonic() - searched >= SEARCH_SECONDS:
                    searched = time.monotonic()
                    self._search(pool)
                self._welcome()
                self._step()
                time.sleep(PAUSE_SECONDS)
        finally:
            pool.shutdown(cancel_futures=True)
        self._welcome()
        self._step()  # what happened up to now is heard

    def close(self) -> None:
        """Let all of them go."""
        for identity in list(self._observers):
            self._part(identity)

    @property
    def observers(self) -> list[Observer]:
        """Those at work, for any thread."""
        return list(self._observers.values())

    def _search(self, pool: ThreadPoolExecutor) -> None:
        """A QEMU that could not be observed is not tried again: it would fail every second."""
        running = {target.identity: target for target in self._find()}
        self._seen &= running.keys()
        for identity, target in running.items():
            if identity not in self._seen:
                self._seen.add(identity)
                self._coming[identity] = pool.submit(self._attach, target)

    def _step(self) -> None:
        for identity, observer in list(self._observers.items()):
            try:
                observer.step(0)
            except FakedirtyError as error:
                _log.warning("pid %d is no longer observed: %s", identity[0], error)
                self._part(identity)
                continue
            if observer.over:
                self._part(identity)

    def _attach(self, target: Target) -> Observer | None:
        if not target.runs:
            return None
        try:
            observer = self._make(target)
            observer.attach()
        except FakedirtyError as error:
            if target.runs:
                _log.warning("%s (pid %d) is not observed: %s", target.vm, target.pid, error)
            return None
        self._attached(target)
        return observer

    def _welcome(self) -> None:
        """Begin to read those that have been attached."""
        for identity, future in list(self._coming.items()):
            if future.done():
                del self._coming[identity]
                if not future.cancelled() and (observer := future.result()) is not None:
                    self._observers[identity] = observer

    def _part(self, identity: Identity) -> None:
        observer = self._observers.pop(identity)
        observer.close()
        self.valid = self.valid and all(migration.valid for migration in observer.migrations)

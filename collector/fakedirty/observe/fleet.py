"""Every QEMU of the host at once: they are found, observed each by an observer of its own, and let go.

Each has a thread, so that one that does not answer, or whose monitor lies, keeps no other from being heard.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

from fakedirty.errors import FakedirtyError

from .observer import Observer
from .target import Target, find_all

SEARCH_SECONDS = 1.0
PAUSE_SECONDS = 0.1  # between two looks at whether it is to stop
# A QEMU that could not be observed is tried again then, and twice as late each time, up to the latest: soon at first,
# for its loader may not have been done with its memory.
RETRY_SECONDS = 1.0
LATEST_RETRY_SECONDS = 600.0

_log = logging.getLogger(__name__)

Identity = tuple[int, int]  # process id and start time: ids are used again


class Fleet:
    """All QEMUs that `find` finds: `make` makes the observer of one, `attached` is told when it is at work, `parted`
    when it is no more, or could not be.

    All three, and the sinks of the observers, are called from the threads of the QEMUs.
    """

    def __init__(
        self,
        make: Callable[[Target], Observer],
        find: Callable[[], Iterable[Target]] = find_all,
        attached: Callable[[Observer], None] = lambda observer: None,
        parted: Callable[[Target], None] = lambda target: None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._make = make
        self._find = find
        self._attached = attached
        self._parted = parted
        self._retry_seconds = retry_seconds
        self._threads: dict[Identity, threading.Thread] = {}
        self._observers: dict[Identity, Observer] = {}
        self._over = threading.Event()
        self._searching = threading.Thread(target=self._search, name="search")
        self._invalid = threading.Event()

    def run(self, stop: Callable[[], bool]) -> None:
        """Observe until `stop` says so, and on until :meth:`close`."""
        self._searching.start()
        while not stop():
            self._over.wait(PAUSE_SECONDS)

    def close(self) -> None:
        """Let all of them go; what happened up to now is heard first."""
        self._over.set()
        if self._searching.is_alive():
            self._searching.join()
        for thread in self._threads.values():
            thread.join()

    @property
    def valid(self) -> bool:
        """Whether all migrations of the observers that have been let go can be believed."""
        return not self._invalid.is_set()

    @property
    def observers(self) -> list[Observer]:
        """Those at work, for any thread."""
        return list(self._observers.values())

    def _search(self) -> None:
        while not self._over.is_set():
            try:
                self._welcome({target.identity: target for target in self._find()})
            except Exception:  # noqa: BLE001 - those that were found are to be observed, and others be found yet
                _log.exception("QEMUs could not be looked for")
            self._over.wait(SEARCH_SECONDS)

    def _welcome(self, running: Mapping[Identity, Target]) -> None:
        for identity in self._threads.keys() - running.keys():
            if not self._threads[identity].is_alive():
                del self._threads[identity]
        for identity, target in running.items():
            if identity not in self._threads:
                thread = threading.Thread(target=self._watch, args=(target,), name=f"QEMU {target.pid}")
                self._threads[identity] = thread
                thread.start()

    def _watch(self, target: Target) -> None:
        """One QEMU, for as long as it runs."""
        pause, told = self._retry_seconds, ""
        while target.runs and not self._over.is_set():
            try:
                self._observe(target)
            except FakedirtyError as error:
                if target.runs and str(error) != told:
                    told = str(error)
                    _log.warning("%s (pid %d) is not observed: %s", target.vm, target.pid, error)
            except Exception:  # noqa: BLE001 - the others are to be observed
                _log.exception("%s (pid %d) is not observed, by a fault of ours", target.vm, target.pid)
            else:
                return
            self._rest(target, pause)
            pause = min(2 * pause, LATEST_RETRY_SECONDS)

    def _rest(self, target: Target, seconds: float) -> None:
        until = time.monotonic() + seconds
        while target.runs and not self._over.is_set() and (left := until - time.monotonic()) > 0:
            self._over.wait(min(left, SEARCH_SECONDS))

    def _observe(self, target: Target) -> None:
        with ExitStack() as stack:
            stack.callback(self._parted, target)
            observer = self._make(target)
            observer.attach()
            stack.callback(self._part, target, observer)
            self._observers[target.identity] = observer
            self._attached(observer)
            observer.run(self._over.is_set)
            if not observer.over:
                observer.step(0)  # what happened up to now

    def _part(self, target: Target, observer: Observer) -> None:
        del self._observers[target.identity]
        observer.close()
        if not observer.valid:
            self._invalid.set()

"""Observe every QEMU of the host: find them, and give each an observer of its own.

A QEMU that does not answer does not delay others: whatever waits for a QEMU runs in a thread of a pool. A QEMU without
a migration takes no thread and no time, because the kernel wakes its observer. Only a QEMU whose level must be polled
has a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fakedirty.errors import FakedirtyError
from fakedirty.observe.host.target import Finder, Target

from .observer import POLL_SECONDS, Observer

SEARCH_SECONDS = 0.5
PAUSE_SECONDS = 0.2  # between two calls of `stop`
# A QEMU that could not be observed is tried again after this time, and then after twice the time, up to the latest. The
# first try is soon, as the loader may not have been done with its memory.
RETRY_SECONDS = 1.0
LATEST_RETRY_SECONDS = 600.0
ATTACHING = 4  # threads; most of the work needs a core
STEPPING = 256  # threads; most of them wait for a monitor

_log = logging.getLogger(__name__)

Identity = tuple[int, int]  # process id and start time: ids are reused


@dataclass(slots=True, eq=False)
class _Member:
    """A QEMU that is to be observed.

    Attributes:
        pause: seconds until the next try, if this one fails.
        over: it has ended. It stays a member while it is still found: its parent may not have reaped it.
        successor: the same process with another executable, which it runs now.
        due: when it is tried again (time.monotonic).
        reason: why it could not be observed.
        thread: the thread that polls it, if its level must be polled.
        stepping: a thread of the pool takes a step.
        again: another step follows that one.
    """

    target: Target
    pause: float
    over: bool = False
    successor: Target | None = None
    due: float | None = None
    reason: str = ""
    observer: Observer | None = None
    thread: threading.Thread | None = None
    stepping: bool = False
    again: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Fleet:
    """Observers of all QEMUs of the host.

    `make`, `attached`, `parted` and the sinks of the observers are called from threads of the fleet.

    Args:
        make: makes the observer of a QEMU.
        find: finds the QEMUs; None: all of the host.
        attached: called when a QEMU is observed.
        parted: called when a QEMU is no longer observed, or could not be.
        retry_seconds: until the first retry.
    """

    def __init__(
        self,
        make: Callable[[Target], Observer],
        find: Callable[[], Iterable[Target]] | None = None,
        attached: Callable[[Target], None] = lambda target: None,
        parted: Callable[[Target], None] = lambda target: None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._make = make
        self._find = find or Finder().find
        self.found: list[Target] = []  # at the last search
        self._attached = attached
        self._parted = parted
        self._retry_seconds = retry_seconds
        self._members: dict[Identity, _Member] = {}
        self._observers: dict[Identity, Observer] = {}
        self._active: set[_Member] = set()
        self._activity = threading.Lock()  # the set and the event change together
        self._migrating = threading.Event()
        self._over = threading.Event()
        self._invalid = threading.Event()
        self._attaching = ThreadPoolExecutor(ATTACHING, thread_name_prefix="attach")
        self._stepping = ThreadPoolExecutor(STEPPING, thread_name_prefix="observe")
        self._threads = [threading.Thread(target=each, name=each.__name__[1:]) for each in (self._search, self._tick)]

    def run(self, stop: Callable[[], bool]) -> None:
        """Observe. Returns when `stop` returns true; the fleet observes on until :meth:`close`."""
        for thread in self._threads:
            thread.start()
        while not stop():
            self._over.wait(PAUSE_SECONDS)

    def close(self) -> None:
        """Stop observing. Everything that happened up to now is processed first."""
        with self._activity:
            self._over.set()
            self._migrating.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._attaching.shutdown()
        for member in list(self._members.values()):
            self._wake(member)
        self._stepping.shutdown()
        for member in list(self._members.values()):
            if (polling := member.thread) is not None:
                polling.join()

    @property
    def valid(self) -> bool:
        """Whether all migrations of the observers that were closed are valid."""
        return not self._invalid.is_set()

    @property
    def observers(self) -> list[Observer]:
        """The observers of QEMUs that are observed now. May be called from any thread."""
        return list(self._observers.values())

    def _search(self) -> None:
        reason = ""
        while not self._over.is_set():
            try:
                self.found = list(self._find())
                self._welcome({target.identity: target for target in self.found})
            except (OSError, FakedirtyError) as error:
                if str(error) != reason:
                    reason = str(error)
                    _log.error("the search for QEMUs has failed: %s", error)
            except Exception:  # noqa: BLE001 - QEMUs that were found are observed on, and the search is repeated
                _log.exception("the search for QEMUs has failed, a fault of fakedirty")
            self._over.wait(SEARCH_SECONDS)

    def _welcome(self, running: dict[Identity, Target]) -> None:
        for identity in self._members.keys() - running.keys():
            known = self._members[identity]
            if known.over or known.due is not None:  # others leave by themselves, when their process has ended
                del self._members[identity]
        now = time.monotonic()
        for identity, target in running.items():
            member = self._members.get(identity)
            if member is None:
                member = self._members[identity] = _Member(target, self._retry_seconds)
            elif member.observer is not None and target is not member.target and target != member.target:
                member.successor = target
                self._wake(member)
                continue
            elif member.over or member.due is None or now < member.due:
                continue
            member.target, member.due = target, None
            self._attaching.submit(self._attach, member)

    def _tick(self) -> None:
        """Wake the observers of QEMUs that migrate, as some events depend on the time."""
        while not self._over.is_set():
            self._migrating.wait()
            for member in list(self._active):
                self._wake(member)
            self._over.wait(POLL_SECONDS)

    def _attach(self, member: _Member) -> None:
        if self._over.is_set():
            return
        try:
            observer = self._make(member.target)
            observer.attach()
        except Exception as error:  # noqa: BLE001 - the others are to be observed
            self._parted(member.target)
            self._failed(member, error)
            return
        member.stepping = True  # no step before `ready` is set: the first step may be the last
        member.observer = observer
        self._observers[member.target.identity] = observer
        try:
            self._attached(member.target)
            if observer.trace.listen(lambda: self._wake(member)):
                self._stepping.submit(self._step, member)
            else:
                member.thread = threading.Thread(target=self._poll, args=(member,), name=f"QEMU {member.target.pid}")
                member.thread.start()
        except Exception as error:  # noqa: BLE001 - the others are to be observed
            self._leave(member, error)

    def _wake(self, member: _Member) -> None:
        """Let the observer take a step in a thread of the pool. If it takes one already, another one follows."""
        with member.lock:
            if member.observer is None or member.thread is not None:
                return
            member.again = True
            if member.stepping:
                return
            member.stepping = True
        try:
            self._stepping.submit(self._step, member)
        except RuntimeError:
            if self._over.is_set():  # the fleet is being closed, and the observer has taken its last step
                member.stepping = False
            # else no new thread could be started, and one of the running threads takes the step

    def _step(self, member: _Member) -> None:
        observer = member.observer
        while observer is not None:
            member.again = False
            try:
                observer.step(0)
            except Exception as error:  # noqa: BLE001 - the others are to be observed
                self._leave(member, error)
                return
            if observer.over or self._over.is_set() or member.successor:
                self._leave(member)
                return
            self._note(member, active=not observer.idle)
            with member.lock:
                if not member.again:
                    member.stepping = False
                    return

    def _poll(self, member: _Member) -> None:
        """Poll a QEMU whose level must be polled, as long as it runs."""
        observer = member.observer
        assert observer is not None
        try:
            observer.run(lambda: self._over.is_set() or member.successor is not None)
            if not observer.over:
                observer.step(0)  # process what happened up to now
        except Exception as error:  # noqa: BLE001 - the others are to be observed
            self._leave(member, error)
        else:
            self._leave(member)

    def _note(self, member: _Member, *, active: bool) -> None:
        """Note whether a QEMU migrates. While any QEMU does, :meth:`_tick` is at work."""
        with self._activity:
            if active:
                self._active.add(member)
                self._migrating.set()
                return
            self._active.discard(member)
            if not (self._active or self._over.is_set()):
                self._migrating.clear()

    def _leave(self, member: _Member, error: Exception | None = None) -> None:
        """Stop observing a QEMU: its process has ended, runs another executable, or an error occurred.

        In the latter two cases it is tried again.
        """
        was_observed = member.observer is not None
        try:
            self._part(member)
        except Exception as another:  # noqa: BLE001 - the others are to be observed
            error = error or another
        if error is not None:
            self._failed(member, error)
        elif was_observed:
            other = "it runs another executable" if member.successor else "the observation ends"
            why = "it has ended" if member.over else other
            _log.info("%s (pid %d) is no longer observed: %s", member.target.vm, member.target.pid, why)
        if member.successor and not member.over:
            member.target, member.successor = member.successor, None
            member.thread, member.stepping, member.due = None, False, time.monotonic()

    def _failed(self, member: _Member, error: Exception) -> None:
        """Log the reason once, and try again later, as long as the process runs."""
        target = member.target
        if target.runs:
            if not isinstance(error, FakedirtyError | OSError):
                _log.error("%s (pid %d) is not observed, a fault of fakedirty", target.vm, target.pid, exc_info=error)
            elif str(error) != member.reason:
                member.reason = str(error)
                _log.warning("%s (pid %d) is not observed: %s", target.vm, target.pid, error)
        member.thread = None
        member.stepping = False
        _log.debug("%s (pid %d) is tried again in %g s", target.vm, target.pid, member.pause)
        member.due = time.monotonic() + member.pause
        member.pause = min(2 * member.pause, LATEST_RETRY_SECONDS)

    def _part(self, member: _Member) -> None:
        observer, member.observer = member.observer, None
        if observer is None:
            return
        self._note(member, active=False)
        self._observers.pop(member.target.identity, None)
        try:
            observer.close()
        finally:
            if not observer.valid:
                self._invalid.set()
            member.over = observer.over
            self._parted(member.target)

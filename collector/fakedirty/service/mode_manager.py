"""Modes of QEMUs, set for somebody: now, for a time, or for as long as somebody stays.

What was set is put back only where it is still in force: whoever has changed it since meant something else. A service
that is killed leaves what it promised to the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import FakedirtyError, TargetError
from fakedirty.model.enums import Mode
from fakedirty.observe.host.target import Target, by_pid
from fakedirty.qmp.mode import State, format_state, read_mode, set_mode
from fakedirty.qmp.monitor import Monitor

from . import pending_reverts
from .pending_reverts import PendingReverts

AGAIN_SECONDS = 5.0  # after a mode could not be put back

_log = logging.getLogger(__name__)

Doing = Callable[[Monitor], State]

# does something with a connection to the QEMU of a target, its own one where the service has one
WithQmp = Callable[[Target, Doing], State]


@dataclass(slots=True)
class _PendingRevert:
    """To put a mode back."""

    target: Target
    before: State
    after: State
    due: float | None = None  # by the host's monotonic clock
    timer: threading.Timer | None = None
    failed: bool = False  # once, at least, and that is in the log


class ModeManager:
    """Sets modes, and keeps what was promised of putting them back; `path` is where that is written down."""

    def __init__(self, with_qmp: WithQmp, path: Path | None = None) -> None:
        self._with_qmp = with_qmp
        self._path = path
        self._inherited = pending_reverts.read(path) if path is not None else []
        self._lock = threading.Lock()
        self._promises: dict[tuple[int, int], _PendingRevert] = {}
        self._changes: dict[tuple[int, int], threading.Lock] = {}
        self._closing = False

    def set(self, target: Target, mode: Mode, hash_name: str | None, revert_after: float | None = None) -> State:
        """Set it, for `revert_after` seconds if given; as read back. What was promised before is no longer."""
        return self._set(target, mode, hash_name, revert_after)[0]

    def hold(self, target: Target, mode: Mode, hash_name: str | None) -> tuple[State, Callable[[], None]]:
        """Set it until the returned function is called."""
        found, promise = self._set(target, mode, hash_name, None, hold=True)
        return found, lambda: self._keep(promise, "who asked for it has left")

    def resume(self) -> None:
        """Take over what an earlier service promised, of QEMUs that still run."""
        for each in self._inherited:
            try:
                target = by_pid(each.pid)
            except TargetError:
                continue
            if target.identity == (each.pid, each.start_ticks) and target.identity not in self._promises:
                due = time.monotonic() if each.due is None else each.due
                self._give(_PendingRevert(target, each.before, each.after, due), "an earlier service promised it")
        with self._lock:
            self._write()

    def close(self) -> None:
        """Keep every promise now; one that cannot be kept is left to the next service."""
        self._closing = True
        for promise in list(self._promises.values()):
            self._keep(promise, "the service ends")

    def _set(
        self, target: Target, mode: Mode, hash_name: str | None, revert_after: float | None, hold: bool = False
    ) -> tuple[State, _PendingRevert]:
        before: list[State] = []

        def change(qmp: Monitor) -> State:
            before.append(read_mode(qmp))
            return set_mode(qmp, mode, hash_name)

        with self._changing(target):
            found = self._with_qmp(target, change)  # where it fails, what was promised before still is
            with self._lock:
                earlier = self._promises.pop(target.identity, None)
                self._write()
            if earlier is not None and earlier.timer is not None:
                earlier.timer.cancel()
            # what was there for a time is nothing to go back to
            lasting = earlier.before if earlier is not None and earlier.after == before[-1] else before[-1]
            promise = _PendingRevert(target, lasting, found)
            if revert_after is not None:
                promise.due = time.monotonic() + revert_after
                self._give(promise, f"{revert_after:g} s are over")
            elif hold:
                self._give(promise)
        return found, promise

    def _changing(self, target: Target) -> threading.Lock:
        """For whoever changes its mode: what one reads, no other changes until it has set what it wants."""
        with self._lock:
            return self._changes.setdefault(target.identity, threading.Lock())

    def _give(self, promise: _PendingRevert, why: str = "") -> None:
        """To be kept when it is due, and else when somebody leaves."""
        with self._lock:
            self._promises[promise.target.identity] = promise
            self._write()
        if promise.due is not None:
            self._wake(promise, promise.due - time.monotonic(), why)

    def _wake(self, promise: _PendingRevert, seconds: float, why: str) -> None:
        promise.timer = threading.Timer(max(0.0, seconds), self._keep, (promise, why))
        promise.timer.daemon = True
        promise.timer.start()

    def _write(self) -> None:
        if self._path is not None:
            given = self._promises.values()
            pending_reverts.write(
                self._path, [PendingReverts(*each.target.identity, each.before, each.after, each.due) for each in given]
            )

    def _keep(self, promise: _PendingRevert, why: str) -> None:
        target = promise.target
        with self._changing(target):
            with self._lock:
                if self._promises.get(target.identity) is not promise:
                    return
            if promise.timer is not None:
                promise.timer.cancel()
            if target.runs and target.process.runs and not self._put_back(promise, why):
                if not self._closing:  # its socket may be somebody else's for now
                    self._wake(promise, AGAIN_SECONDS, why)
                return
            with self._lock:
                del self._promises[target.identity]
                self._write()

    def _put_back(self, promise: _PendingRevert, why: str) -> bool:
        """Whether that is done."""
        target = promise.target

        def put_back(qmp: Monitor) -> State:
            found = read_mode(qmp)
            return set_mode(qmp, *promise.before) if found == promise.after else found

        try:
            found = self._with_qmp(target, put_back)
        except FakedirtyError as error:
            if not promise.failed or self._closing:
                _log.error("%s (pid %d): the mode is not put back yet: %s", target.vm, target.pid, error)
            promise.failed = True
            return False
        _log.warning("%s (pid %d): %s: %s", target.vm, target.pid, why, format_state(found))
        return True

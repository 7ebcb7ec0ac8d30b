"""Modes of QEMUs, set for somebody: now, for a time, or for as long as somebody stays.

What was set is put back only where it is still in force: whoever has changed it since meant something else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from fakedirty.errors import FakedirtyError
from fakedirty.model.words import Mode
from fakedirty.observe.target import Target
from fakedirty.qmp.mode import read_mode, set_mode
from fakedirty.qmp.monitor import Monitor

_log = logging.getLogger(__name__)

Doing = Callable[[Monitor], "State"]
State = tuple[Mode, str]  # the mode, and the hash

# does something with a connection to the QEMU of a target, its own one where the service has one
WithQmp = Callable[[Target, Doing], State]


@dataclass(slots=True)
class _Promise:
    """To put a mode back."""

    target: Target
    before: State
    after: State
    timer: threading.Timer | None = None


class Modes:
    """Sets modes, and keeps what was promised of putting them back."""

    def __init__(self, with_qmp: WithQmp) -> None:
        self._with_qmp = with_qmp
        self._lock = threading.Lock()
        self._promises: dict[tuple[int, int], _Promise] = {}

    def set(self, target: Target, mode: Mode, hash_name: str | None, revert_after: float | None = None) -> State:
        """Set it, for `revert_after` seconds if given; as read back. What was promised before is no longer."""
        return self._set(target, mode, hash_name, revert_after)[0]

    def hold(self, target: Target, mode: Mode, hash_name: str | None) -> tuple[State, Callable[[], None]]:
        """Set it until the returned function is called."""
        found, promise = self._set(target, mode, hash_name, None)
        with self._lock:
            self._promises[target.identity] = promise
        return found, lambda: self._keep(promise, "who asked for it has left")

    def close(self) -> None:
        """Keep every promise now."""
        for promise in list(self._promises.values()):
            self._keep(promise, "the service ends")

    def _set(
        self, target: Target, mode: Mode, hash_name: str | None, revert_after: float | None
    ) -> tuple[State, _Promise]:
        before: list[State] = []

        def change(qmp: Monitor) -> State:
            before.append(read_mode(qmp))
            return set_mode(qmp, mode, hash_name)

        with self._lock:
            earlier = self._promises.pop(target.identity, None)
        if earlier is not None and earlier.timer is not None:
            earlier.timer.cancel()
        found = self._with_qmp(target, change)
        promise = _Promise(target, before[-1], found)
        if revert_after is not None:
            promise.timer = threading.Timer(revert_after, self._keep, (promise, f"{revert_after:g} s are over"))
            promise.timer.daemon = True
            with self._lock:
                self._promises[target.identity] = promise
            promise.timer.start()
        return found, promise

    def _keep(self, promise: _Promise, why: str) -> None:
        with self._lock:
            if self._promises.get(promise.target.identity) is not promise:
                return
            del self._promises[promise.target.identity]
        if promise.timer is not None:
            promise.timer.cancel()
        target = promise.target
        if not target.runs:
            return

        def put_back(qmp: Monitor) -> State:
            found = read_mode(qmp)
            return set_mode(qmp, *promise.before) if found == promise.after else found

        try:
            found = self._with_qmp(target, put_back)
        except FakedirtyError as error:
            _log.error("%s (pid %d): the mode is not put back: %s", target.vm, target.pid, error)
            return
        _log.warning("%s (pid %d): %s: mode %s, hash %s", target.vm, target.pid, why, *found)

"""Sets modes of QEMUs for clients: for good, for a time, or for as long as a client stays.

A mode is put back only where it is still in force: somebody who has changed it since meant something else. If the
service is killed, the next one puts back what is pending.
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
from fakedirty.qmp.mode import State, read_mode, set_mode, spelled
from fakedirty.qmp.monitor import Monitor

from . import pending_reverts
from .pending_reverts import PendingRevert

AGAIN_SECONDS = 5.0  # until the next attempt to put back a mode

_log = logging.getLogger(__name__)

#: a change that is made over a connection; it returns the state that it reads back
Change = Callable[[Monitor], State]

#: makes a change over a connection to the QEMU of a target, which may be one that the service holds
WithQmp = Callable[[Target, Change], State]


@dataclass(slots=True)
class _Revert:
    """A mode that is to be put back."""

    target: Target
    before: State
    after: State
    due: float | None = None  # by the host's monotonic clock
    timer: threading.Timer | None = None
    failed: bool = False  # at least once, and the log has it


class ModeManager:
    """Sets modes, and puts them back. Any thread may call it.

    Args:
        with_qmp: Makes a change over QMP.
        path: The file of pending reverts; None for none, then a killed service leaves modes as they are.
    """

    def __init__(self, with_qmp: WithQmp, path: Path | None = None) -> None:
        self._with_qmp = with_qmp
        self._path = path
        self._inherited = pending_reverts.read(path) if path is not None else []
        self._lock = threading.Lock()
        self._reverts: dict[tuple[int, int], _Revert] = {}
        self._changes: dict[tuple[int, int], threading.Lock] = {}
        self._closing = False

    def set(self, target: Target, mode: Mode, hash_name: str | None, revert_after: float | None = None) -> State:
        """Set a mode. It replaces the pending revert of that QEMU, if there is one.

        Args:
            target: The QEMU.
            mode: The mode.
            hash_name: The content hash; None for the present one.
            revert_after: Seconds after which the mode is put back; None for a mode that stays.

        Returns:
            Mode and hash as QEMU reads them back.
        """
        return self._set(target, mode, hash_name, revert_after)[0]

    def hold(self, target: Target, mode: Mode, hash_name: str | None) -> tuple[State, Callable[[], None]]:
        """Set a mode until the returned function is called."""
        found, revert = self._set(target, mode, hash_name, None, hold=True)
        return found, lambda: self._finish(revert, "the client that held the mode has left")

    def resume(self) -> None:
        """Take over the reverts that an earlier service has left, for QEMUs that still run."""
        for each in self._inherited:
            try:
                target = by_pid(each.pid)
            except TargetError:
                continue
            if target.identity == (each.pid, each.start_ticks) and target.identity not in self._reverts:
                due = time.monotonic() if each.due is None else each.due
                self._add(_Revert(target, each.before, each.after, due), "an earlier service had set the mode")
        with self._lock:
            self._write()

    def close(self) -> None:
        """Put every mode back now; one that cannot be put back is left to the next service."""
        self._closing = True
        for revert in list(self._reverts.values()):
            self._finish(revert, "the service ends")

    def _set(
        self, target: Target, mode: Mode, hash_name: str | None, revert_after: float | None, hold: bool = False
    ) -> tuple[State, _Revert]:
        before: list[State] = []

        def change(qmp: Monitor) -> State:
            before.append(read_mode(qmp))
            return set_mode(qmp, mode, hash_name)

        with self._change_lock(target):
            found = self._with_qmp(target, change)  # if it fails, the earlier revert stays pending
            with self._lock:
                earlier = self._reverts.pop(target.identity, None)
                self._write()
            if earlier is not None and earlier.timer is not None:
                earlier.timer.cancel()
            # a mode that was set for a time is not one to go back to
            lasting = earlier.before if earlier is not None and earlier.after == before[-1] else before[-1]
            revert = _Revert(target, lasting, found)
            if revert_after is not None:
                revert.due = time.monotonic() + revert_after
                self._add(revert, f"{revert_after:g} s are over")
            elif hold:
                self._add(revert)
        return found, revert

    def _change_lock(self, target: Target) -> threading.Lock:
        """Held while a mode is read and set: nobody else changes the mode of that QEMU in between."""
        with self._lock:
            return self._changes.setdefault(target.identity, threading.Lock())

    def _add(self, revert: _Revert, why: str = "") -> None:
        """Make a revert pending: until it is due, or without a time until a client leaves."""
        with self._lock:
            self._reverts[revert.target.identity] = revert
            self._write()
        if revert.due is not None:
            self._schedule(revert, revert.due - time.monotonic(), why)

    def _schedule(self, revert: _Revert, seconds: float, why: str) -> None:
        revert.timer = threading.Timer(max(0.0, seconds), self._finish, (revert, why))
        revert.timer.daemon = True
        revert.timer.start()

    def _write(self) -> None:
        if self._path is not None:
            pending_reverts.write(
                self._path,
                [
                    PendingRevert(*each.target.identity, each.before, each.after, each.due)
                    for each in self._reverts.values()
                ],
            )

    def _finish(self, revert: _Revert, why: str) -> None:
        """Put the mode back; where that fails, try again later for as long as the QEMU runs."""
        target = revert.target
        with self._change_lock(target):
            with self._lock:
                if self._reverts.get(target.identity) is not revert:
                    return
            if revert.timer is not None:
                revert.timer.cancel()
            if target.runs and target.process.runs and not self._put_back(revert, why):
                if not self._closing:  # another client may hold the socket for now
                    self._schedule(revert, AGAIN_SECONDS, why)
                return
            with self._lock:
                del self._reverts[target.identity]
                self._write()

    def _put_back(self, revert: _Revert, why: str) -> bool:
        """Whether QEMU has the earlier mode again, or one that somebody has set since."""
        target = revert.target
        changed = False

        def put_back(qmp: Monitor) -> State:
            nonlocal changed
            found = read_mode(qmp)
            changed = found == revert.after
            return set_mode(qmp, *revert.before) if changed else found

        try:
            found = self._with_qmp(target, put_back)
        except FakedirtyError as error:
            if not revert.failed or self._closing:
                _log.error("%s (pid %d): the mode is not put back yet: %s", target.vm, target.pid, error)
            revert.failed = True
            return False
        verb = "put back" if changed else "left, as it has been changed since"
        _log.info("%s (pid %d): %s: %s, %s", target.vm, target.pid, why, spelled(found), verb)
        return True

"""What the service answers: the status of all that it observes, and modes set through it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakedirty import __version__
from fakedirty.errors import QmpError, UsageError
from fakedirty.format.sentences import in_words
from fakedirty.model.enums import Mode
from fakedirty.model.migration import Migration
from fakedirty.observe.host.select import named
from fakedirty.observe.host.target import Target, find_all
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.qmp.mode import State, format_state
from fakedirty.qmp.socket_clients import free_first
from fakedirty.qmp.turn import CHANGE_SECONDS, turn
from fakedirty.record.manifest import Clock
from fakedirty.record.rows import round_row, toggle_row
from fakedirty.record.summary import summary

from .control import Caller, Handler, Held
from .mode_manager import Doing, ModeManager

SET_SECONDS = 1.0  # by which a clock is set, and not slewed

_log = logging.getLogger(__name__)


class StatusApi:
    """Answers for the QEMUs whose `observers` are at work; `clock` dates what happened.

    What is promised of modes is written to the file `promises`; `find` finds all QEMUs of the host.
    """

    def __init__(
        self,
        run_id: str,
        observers: Callable[[], Sequence[Observer]],
        clock: Callable[[], Clock],
        promises: Path | None = None,
        find: Callable[[], Iterable[Target]] = find_all,
    ) -> None:
        self._run_id = run_id
        self._observers = observers
        self._clock = clock
        self._find = find
        self._dated = clock()
        self._began = time.monotonic()
        self.modes = ModeManager(self._with_qmp, promises)
        self.handlers: dict[str, Handler] = {"status": self._status, "mode": self._mode}

    def _status(self, request: Mapping[str, Any], asker: Caller) -> object:
        """With ``rounds``, so many of the latest rounds of each VM too, and its toggles."""
        rounds = _kind(request, "rounds", int) or 0
        return self.status(rounds)

    def status(self, rounds: int = 0) -> dict[str, object]:
        """What is observed."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "run_id": self._run_id,
            "up_seconds": round(time.monotonic() - self._began, 1),
            "vms": [self._vm(observer, trace, rounds) for observer, trace in self._live()],
        }

    def _live(self) -> list[tuple[Observer, LiveTrace]]:
        return [(each, trace) for each in self._observers() if isinstance(trace := each.trace, LiveTrace)]

    def _vm(self, observer: Observer, trace: LiveTrace, rounds: int) -> dict[str, object]:
        migrations = tuple(observer.migrations)
        return (self._rows(migrations[-1], rounds) if rounds and migrations else {}) | {
            "vm": trace.target.vm,
            "pid": trace.target.pid,
            "start_ticks": trace.target.start_ticks,
            "uuid": trace.target.uuid,
            "level": str(trace.level),
            "migrations": observer.seen,
            "verdict": in_words(found) if migrations and (found := migrations[-1].forecast) else None,
            "last": summary(self._run_id, migrations[-1], self._date()) if migrations else None,
        }

    def _date(self) -> Clock:
        """The same for as long as nobody sets the clock of the host: what did not change is to be said alike."""
        now = self._clock()
        if abs((now.wall_ns - now.monotonic_ns) - (self._dated.wall_ns - self._dated.monotonic_ns)) > SET_SECONDS * 1e9:
            self._dated = now
        return self._dated

    def _rows(self, migration: Migration, rounds: int) -> dict[str, object]:
        return {
            "rounds": [round_row(self._run_id, migration, each) for each in migration.rounds[-rounds:]],
            "toggles": [toggle_row(self._run_id, migration, each) for each in tuple(migration.toggles)],
        }

    def _mode(self, request: Mapping[str, Any], asker: Caller) -> object:
        """``vm``, ``pid`` (with ``start_ticks``, only the process that started then) or both, ``mode``, and perhaps
        ``hash``, ``revert_after`` (seconds) or ``hold`` (true).
        """
        target = self._meant(request)
        mode = Mode(Mode.parse(str(request.get("mode"))))
        hash_name = _kind(request, "hash", str)
        seconds, hold = _kind(request, "revert_after", int, float), _kind(request, "hold", bool)
        if seconds is not None and (hold or not 0 < seconds <= 7 * 86400):
            raise UsageError("revert_after is a number of seconds, of a week at most, and goes without hold")
        if hold:
            state, release = self.modes.hold(target, mode, hash_name)
        else:
            state = self.modes.set(target, mode, hash_name, seconds)
        _log.warning("%s (pid %d): %s, for %s", target.vm, target.pid, format_state(state), asker)
        return Held(_told(target, state), release) if hold else _told(target, state)

    def _meant(self, request: Mapping[str, Any]) -> Target:
        targets = {trace.target.identity: trace.target for _, trace in self._live()}
        pid, vm, ticks = _kind(request, "pid", int), _kind(request, "vm", str), _kind(request, "start_ticks", int)
        if pid is not None:
            for target in targets.values():
                if target.pid == pid and ticks in (None, target.start_ticks) and target.process.runs:
                    return target if vm is None else named(vm, [target])
            raise UsageError(f"process {pid} is not observed by this service")
        if vm is None:
            raise UsageError("say which QEMU: vm or pid")
        # a name may also be that of a QEMU that is not observed: then it says nothing of which one is meant
        others = [target for target in self._find() if target.identity not in targets]
        meant = named(vm, [*targets.values(), *others])
        if meant.identity not in targets:
            raise UsageError(f"{vm} (pid {meant.pid}) is not observed by this service")
        return meant

    def _with_qmp(self, target: Target, do: Doing) -> State:
        """By the connection that the observation holds, or else by the first socket that answers."""
        for _, trace in self._live():
            if trace.target.identity == target.identity and (qmp := trace.qmp) is not None:
                return do(qmp)
        if not target.monitors:
            raise QmpError(f"{target.vm} (pid {target.pid}) has no QMP socket that is known")
        with turn(free_first(target.monitors), CHANGE_SECONDS) as qmp:
            return do(qmp)


def _kind(request: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """The value of a name, None where it is not given."""
    value = request.get(name)
    if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        raise UsageError(f"{name} is to be of the type {kinds[0].__name__}, not {value!r}")
    return value


def _told(target: Target, state: State) -> dict[str, object]:
    mode, hash_name = state
    return {"vm": target.vm, "pid": target.pid, "mode": str(mode), "hash": hash_name}

"""The requests that the control socket answers: the status of all observed QEMUs, and a change of a mode."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakedirty import __version__
from fakedirty.errors import QmpError, UsageError
from fakedirty.format.downtime_words import downtime_words
from fakedirty.format.recommendation import advised
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
from fakedirty.record.standing import MEMBERS, standing
from fakedirty.record.summary import summary

from .control import Caller, Handler, Held
from .mode_manager import Change, ModeManager

SET_SECONDS = 1.0  # a clock that moves by more than this has been set, and not slewed
LONGEST_REVERT_SECONDS = 7 * 86400

_log = logging.getLogger(__name__)


class StatusApi:
    """Answers requests about the QEMUs that are observed. Any thread may call it.

    Args:
        run_id: The id that groups the recordings of the service.
        observers: Gives the observers at work.
        clock: Reads the clocks, to date what has happened.
        reverts: The file of pending reverts; None for none.
        find: Finds all QEMUs of the host.
    """

    def __init__(
        self,
        run_id: str,
        observers: Callable[[], Sequence[Observer]],
        clock: Callable[[], Clock],
        reverts: Path | None = None,
        find: Callable[[], Iterable[Target]] = find_all,
    ) -> None:
        self._run_id = run_id
        self._observers = observers
        self._clock = clock
        self._find = find
        self._dated = clock()
        self._began = time.monotonic()
        self.modes = ModeManager(self._with_qmp, reverts)
        self.handlers: dict[str, Handler] = {"status": self._status, "mode": self._mode}

    def _status(self, request: Mapping[str, Any], caller: Caller) -> object:
        """The status; where the request has `rounds`, with so many of the latest rounds of each VM, and its toggles."""
        rounds = _member(request, "rounds", int) or 0
        return self.status(rounds)

    def status(self, rounds: int = 0) -> dict[str, object]:
        """The service, and each observed VM with its last migration."""
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
            "verdict": advised(found) if migrations and (found := migrations[-1].forecast) else None,
            "downtime": downtime_words(gone) if migrations and (gone := migrations[-1].blackout) else None,
            "last": summary(self._run_id, migrations[-1], self._date()) if migrations else None,
            **(standing(migrations[-1], self._date()) if migrations else dict.fromkeys(MEMBERS)),
        }

    def _date(self) -> Clock:
        """The clocks; the same value until somebody sets the clock, so that an unchanged status stays equal."""
        now = self._clock()
        if abs((now.wall_ns - now.monotonic_ns) - (self._dated.wall_ns - self._dated.monotonic_ns)) > SET_SECONDS * 1e9:
            self._dated = now
        return self._dated

    def _rows(self, migration: Migration, rounds: int) -> dict[str, object]:
        return {
            "rounds": [round_row(self._run_id, migration, each) for each in migration.rounds[-rounds:]],
            "toggles": [toggle_row(self._run_id, migration, each) for each in tuple(migration.toggles)],
        }

    def _mode(self, request: Mapping[str, Any], caller: Caller) -> object:
        """Set a mode.

        The members are `mode`; `vm`, `pid` or both; and perhaps `start_ticks` (which makes `pid` mean only the process
        that started then), `hash`, `revert_after` (seconds) or `hold` (true).
        """
        target = self._target(request)
        mode = Mode(Mode.parse(str(request.get("mode"))))
        hash_name = _member(request, "hash", str)
        seconds, hold = _member(request, "revert_after", int, float), _member(request, "hold", bool)
        if seconds is not None and (hold or not 0 < seconds <= LONGEST_REVERT_SECONDS):
            raise UsageError("revert_after is a number of seconds, of a week at most, and goes without hold")
        if hold:
            state, release = self.modes.hold(target, mode, hash_name)
        else:
            state = self.modes.set(target, mode, hash_name, seconds)
        limit = " while it stays" if hold else f" for {seconds:g} s" if seconds is not None else ""
        _log.info("%s (pid %d): %s%s, for %s", target.vm, target.pid, format_state(state), limit, caller)
        return Held(_answer(target, state), release) if hold else _answer(target, state)

    def _target(self, request: Mapping[str, Any]) -> Target:
        """The one observed QEMU that a request means; UsageError if it is none, or could be several."""
        targets = {trace.target.identity: trace.target for _, trace in self._live()}
        pid, vm, ticks = _member(request, "pid", int), _member(request, "vm", str), _member(request, "start_ticks", int)
        if pid is not None:
            for target in targets.values():
                if target.pid == pid and ticks in (None, target.start_ticks) and target.process.runs:
                    return target if vm is None else named(vm, [target])
            raise UsageError(f"process {pid} is not observed by this service")
        if vm is None:
            raise UsageError("name the QEMU: vm or pid")
        # a QEMU that is not observed may have the same name: then the name does not say which one is meant
        others = [target for target in self._find() if target.identity not in targets]
        meant = named(vm, [*targets.values(), *others])
        if meant.identity not in targets:
            raise UsageError(f"{vm} (pid {meant.pid}) is not observed by this service")
        return meant

    def _with_qmp(self, target: Target, change: Change) -> State:
        """Make a change over the connection that the observation holds, or else over the first socket that answers."""
        for _, trace in self._live():
            if trace.target.identity == target.identity and (qmp := trace.qmp) is not None:
                return change(qmp)
        if not target.monitors:
            raise QmpError(f"{target.vm} (pid {target.pid}) has no QMP socket that is known")
        with turn(free_first(target.monitors), CHANGE_SECONDS) as qmp:
            return change(qmp)


def _member(request: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """A member of a request, None where it has none; UsageError for a value of another type."""
    value = request.get(name)
    if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        raise UsageError(f"{name} has to be of the type {kinds[0].__name__}, not {value!r}")
    return value


def _answer(target: Target, state: State) -> dict[str, object]:
    mode, hash_name = state
    return {"vm": target.vm, "pid": target.pid, "mode": str(mode), "hash": hash_name}

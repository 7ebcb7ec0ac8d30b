"""When guests stop and run: in the observed QEMU, and in each QEMU of this host that waits for a migration.

The observed QEMU may itself be a destination: its guest has arrived when its run state is no longer the one of waiting.
Destinations are searched while events come from the source; each of them is started before its migration begins. The
run states of a QEMU without the probed function are not followed.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fakedirty.errors import FakedirtyError, QmpError
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.executable_plans import ExecutablePlans, once_loaded
from fakedirty.observe.host.target import YOUNG_SECONDS, Target
from fakedirty.qmp.monitor import Address, Monitor
from fakedirty.qmp.turn import TRIES, in_turns
from fakedirty.qmp.validation import parsing_answers

from . import enum_names
from .attach_point import PlacedProbe, choose
from .program import now_ns

SEARCH_SECONDS = 0.25

_FUNCTION = "runstate_set"
_LOOKUP = "RunState_lookup"
_WAITING = "inmigrate"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunStatePlan:
    """Where the program of ``probes/runstate.c`` is attached, and the names of the states by their numbers."""

    placed: PlacedProbe
    states: tuple[str, ...]


def run_state_plan(target: Target, plans: ExecutablePlans) -> RunStatePlan | None:
    """The plan for a QEMU, or None if it lacks the function or the names of its states cannot be read."""
    try:
        return once_loaded(target, lambda: plans.of(target, _FUNCTION, _plan))
    except (FakedirtyError, OSError) as error:
        _log.info("the run states of %s (pid %d) are not followed: %s", target.vm, target.pid, error)
        return None


def _plan(binary: Binary, memory: ProcessMemory) -> RunStatePlan | None:
    symbol = binary.symbol(_FUNCTION)
    if symbol is None:
        return None
    states = enum_names.names(binary, memory, _LOOKUP, must_have="running")
    return RunStatePlan(PlacedProbe(_FUNCTION, choose(binary, symbol, (1,), memory.linked_pointer)), states)


class RunStates:
    """The destinations whose run states are followed for one observed QEMU.

    Args:
        observed: that QEMU.
        plans: plans of executables.
        follow: attaches the probe to another QEMU.
        find: finds the QEMUs of this host.
    """

    def __init__(
        self,
        observed: Target,
        plans: ExecutablePlans,
        follow: Callable[[Target, PlacedProbe], None],
        find: Callable[[], Iterable[Target]],
    ) -> None:
        self._plans = plans
        self._follow = follow
        self._find = find
        self._known = {observed.identity}
        self._searched = 0.0

    def search(self, active: bool) -> list[TraceRecord]:
        """Follow destinations that are new, and return a record of each. Searches only while the source is `active`."""
        peers: list[TraceRecord] = []
        if active and time.monotonic() - self._searched >= SEARCH_SECONDS:
            for target in self._find():
                if target.incoming and target.identity not in self._known:
                    self._known.add(target.identity)
                    peers += self._join(target)
            self._searched = time.monotonic()
        return peers

    def _join(self, target: Target) -> list[TraceRecord]:
        before = now_ns()  # the record of a QEMU must come before its run states
        plan = run_state_plan(target, self._plans)
        if plan is None:
            return []
        try:
            self._follow(target, plan.placed)
        except (FakedirtyError, OSError) as error:
            _log.info("the run states of %s (pid %d) are not followed: %s", target.vm, target.pid, error)
            return []
        return [peer(before, target, "destination", plan, waiting=True)]


def peer(time_ns: int, target: Target, role: str, plan: RunStatePlan, *, waiting: bool) -> TraceRecord:
    """The record that run states of a QEMU are followed from `time_ns` on; `waiting`: it waits for a guest."""
    about = {
        "pid": target.pid,
        "vm": target.vm,
        "uuid": target.uuid,
        "role": role,
        "waiting": waiting,
        "states": plan.states,
    }
    return TraceRecord(time_ns, Channel.PEER, json.dumps(about).encode())


def waits(target: Target, monitors: Sequence[Address]) -> bool:
    """Whether a QEMU reports that it waits for a guest; False if no monitor answers.

    A QEMU that has just started may answer late, so it is asked several times. An older one is asked once: its monitors
    may be in use, and other QEMUs must not wait for that.
    """
    tries = TRIES if target.process.age_seconds < YOUNG_SECONDS else 1
    try:
        return in_turns(monitors, _waits, tries)
    except QmpError:
        return False


def _waits(qmp: Monitor) -> bool:
    with parsing_answers(qmp.path):
        return bool(qmp.execute("query-status")["status"] == _WAITING)

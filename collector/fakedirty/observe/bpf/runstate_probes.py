"""When guests stop and run, of the observed QEMU and of those on this host that wait for a migration.

The observed one may be a destination itself: its first state after the one of waiting is the arrival of its guest.
A destination is looked for while events come from the source: it is there before its migration begins. What
QEMU lacks the function for is not followed, and an end is not told then.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fakedirty.errors import FakedirtyError, QmpError
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import YOUNG_SECONDS, Target
from fakedirty.qmp.monitor import Address, Monitor
from fakedirty.qmp.turn import TRIES, in_turns
from fakedirty.qmp.validation import parsing_answers

from . import enum_names
from .attach_point import PlacedProbe, choose
from .probe_plans import ExecutablePlans, once_loaded
from .process_memory import ProcessMemory
from .program import now_ns

SEARCH_SECONDS = 0.25

_FUNCTION = "runstate_set"
_LOOKUP = "RunState_lookup"
_WAITING = "inmigrate"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunStatePlan:
    """Where the program of ``probes/runstate.c`` goes, and the names of the states by their numbers."""

    placed: PlacedProbe
    states: tuple[str, ...]


def run_state_plan(target: Target, plans: ExecutablePlans) -> RunStatePlan | None:
    """Of a QEMU; None where it lacks the function, or its states cannot be read."""
    try:
        return once_loaded(target, lambda: plans.of(target, _FUNCTION, _plan))
    except (FakedirtyError, OSError) as error:
        _log.info("%s (pid %d) is not followed: %s", target.vm, target.pid, error)
        return None


def _plan(binary: Binary, memory: ProcessMemory) -> RunStatePlan | None:
    symbol = binary.symbol(_FUNCTION)
    if symbol is None:
        return None
    states = enum_names.names(binary, memory, _LOOKUP, must_have="running")
    return RunStatePlan(PlacedProbe(_FUNCTION, choose(binary, symbol, (1,), memory.linked_pointer)), states)


class RunStates:
    """Whose run states are followed for one observed QEMU: `follow` has the kernel tell those of another one."""

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
        """Destinations that are new; they are looked for while the source is `active`."""
        peers: list[TraceRecord] = []
        if active and time.monotonic() - self._searched >= SEARCH_SECONDS:
            for target in self._find():
                if target.incoming and target.identity not in self._known:
                    self._known.add(target.identity)
                    peers += self._join(target)
            self._searched = time.monotonic()
        return peers

    def _join(self, target: Target) -> list[TraceRecord]:
        before = now_ns()  # a peer is told before its states
        plan = run_state_plan(target, self._plans)
        if plan is None:
            return []
        try:
            self._follow(target, plan.placed)
        except (FakedirtyError, OSError) as error:
            _log.info("%s (pid %d) is not followed: %s", target.vm, target.pid, error)
            return []
        return [peer(before, target, "destination", plan, waiting=True)]


def peer(time_ns: int, target: Target, role: str, plan: RunStatePlan, *, waiting: bool) -> TraceRecord:
    """Whose states are followed from now on; `waiting`: for a guest."""
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
    """Whether a QEMU says that it waits for a guest; where no monitor answers, nothing is claimed.

    One that is starting may be late with an answer. Of an old one whose monitors are held, others are not to wait long.
    """
    tries = TRIES if target.process.age_seconds < YOUNG_SECONDS else 1
    try:
        return in_turns(monitors, _waits, tries)
    except QmpError:
        return False


def _waits(qmp: Monitor) -> bool:
    with parsing_answers(qmp.path):
        return bool(qmp.execute("query-status")["status"] == _WAITING)

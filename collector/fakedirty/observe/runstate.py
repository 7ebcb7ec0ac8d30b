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

from fakedirty.errors import FakedirtyError, QmpError
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.qmp.answers import understanding
from fakedirty.qmp.monitor import Address, connect

from . import names
from .attach import choose
from .bpf import Bpf, now_ns
from .elf import Binary
from .memory import ProcessMemory
from .target import Target, find_all

SEARCH_SECONDS = 0.25

_FUNCTION = "runstate_set"
_LOOKUP = "RunState_lookup"
_WAITING = "inmigrate"

_log = logging.getLogger(__name__)


class RunStates:
    """The program of ``probes/runstate.c`` on the observed QEMU, and on possible destinations of its guest."""

    def __init__(
        self,
        bpf: Bpf,
        observed: Target,
        monitors: Sequence[Address] = (),
        find: Callable[[], Iterable[Target]] = find_all,
    ) -> None:
        self._bpf = bpf
        self._monitors = monitors
        self._find = find
        self._known: set[tuple[int, int]] = set()
        self._peers: list[TraceRecord] = []
        self._searched = 0.0
        self._follow(observed, "source")

    def _waits(self) -> bool:
        """Whether the observed QEMU says that it waits for a guest; where none answers, nothing is claimed."""
        for address in self._monitors:
            try:
                with connect(address) as qmp, understanding(address):
                    return bool(qmp.execute("query-status")["status"] == _WAITING)
            except QmpError:
                continue
        return False

    def search(self, active: bool) -> list[TraceRecord]:
        """Those that are new; while the source is `active`, destinations are looked for."""
        if active and time.monotonic() - self._searched >= SEARCH_SECONDS:
            for target in self._find():
                if target.incoming:
                    self._follow(target, "destination")
            self._searched = time.monotonic()
        peers, self._peers = self._peers, []
        return peers

    def _follow(self, target: Target, role: str) -> None:
        identity = target.identity
        if identity in self._known:
            return
        self._known.add(identity)
        before = now_ns()  # a peer is told before its states
        try:
            with Binary(target.exe) as binary:
                symbol = binary.symbol(_FUNCTION)
                if symbol is None:
                    return
                memory = ProcessMemory(target.proc, target.pid, binary)
                states = names.names(binary, memory, _LOOKUP, must_have="running")
                point = choose(binary, symbol, (1,), memory.linked_pointer)
                self._bpf.attach(_FUNCTION, target.exe, point.offset, target.pid)
        except (FakedirtyError, OSError) as error:
            _log.info("%s (pid %d) is not followed: %s", target.vm, target.pid, error)
            return
        waiting = role == "destination" or (target.incoming and self._waits())
        peer = {
            "pid": target.pid,
            "vm": target.vm,
            "uuid": target.uuid,
            "role": role,
            "waiting": waiting,
            "states": states,
        }
        self._peers.append(TraceRecord(before, Channel.PEER, json.dumps(peer).encode()))

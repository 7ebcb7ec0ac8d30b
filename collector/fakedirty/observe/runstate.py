"""When guests stop and run, of the observed QEMU and of those on this host that wait for a migration.

A destination is looked for while events come from the source: it is there before its migration begins. What
QEMU lacks the function for is not followed, and an end is not told then.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fakedirty.errors import FakedirtyError
from fakedirty.model.trace import Channel, TraceRecord

from . import headers, names
from .attach import choose
from .bpf import Bpf, now_ns
from .elf import Binary
from .heard import heard
from .memory import ProcessMemory
from .probes import probe_file
from .target import Target, find_all

SEARCH_SECONDS = 0.25

_FUNCTION = "runstate_set"
_LOOKUP = "RunState_lookup"

_log = logging.getLogger(__name__)


class RunStates:
    """The probe of ``probes/runstate.c`` on a source, and on its possible destinations."""

    def __init__(
        self,
        source: Target,
        probes: Path | None = None,
        find: Callable[[], Iterable[Target]] = find_all,
    ) -> None:
        self._source = source
        self._file = probe_file("runstate.c", probes)
        self._find = find
        self._bpf: Bpf | None = None
        self._known: set[tuple[int, int]] = set()
        self._peers: list[TraceRecord] = []
        self._searched = 0.0

    def attach(self) -> None:
        """Attach to the source; where that is not possible, nothing is heard."""
        self._bpf = Bpf(self._file, headers.find(), {})
        self._bpf.open_rings(["events"])
        self._follow(self._source, "source")

    def poll(self, active: bool) -> list[TraceRecord]:
        """What happened; while the source is `active`, destinations are looked for. A peer comes before its states."""
        assert self._bpf is not None
        if active and time.monotonic() - self._searched >= SEARCH_SECONDS:
            for target in self._find():
                if target.incoming:
                    self._follow(target, "destination")
            self._searched = time.monotonic()
        peers, self._peers = self._peers, []
        return [*peers, *(heard(Channel.RUNSTATE, raw) for raw in self._bpf.poll(0)["events"])]

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None

    def _follow(self, target: Target, role: str) -> None:
        identity = target.pid, target.start_ticks
        if identity in self._known or self._bpf is None:
            return
        self._known.add(identity)
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
        peer = {"pid": target.pid, "vm": target.vm, "role": role, "states": states}
        self._peers.append(TraceRecord(now_ns(), Channel.PEER, json.dumps(peer).encode()))

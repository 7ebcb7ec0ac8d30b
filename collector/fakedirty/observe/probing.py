"""The levels that attach probes: what is compiled, where it goes, and what is heard of it.

A level says what it wants as a :class:`Plan`. The guest's own states are heard by the same program, in the same ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.model.words import Level
from fakedirty.qmp.monitor import Address

from . import final_report, headers, levels
from .attach import Placed
from .bpf import Bpf
from .elf import Binary
from .heard import Losses, heard
from .runstate import RunStates
from .sizes import Sizes
from .target import Target

_RINGS, _RUNSTATE = "rings.c", "runstate.c"


@dataclass(frozen=True, slots=True)
class Plan:
    """A file of ``probes/`` with what it is compiled with, its programs in the order of attaching, and the facts that a
    reader wants to know.
    """

    file: str
    placed: Sequence[Placed]
    facts: Mapping[str, object]
    defines: Mapping[str, int]


class Probes(Protocol):
    """What a level attaches."""

    def plan(self, binary: Binary) -> Plan:
        """For a QEMU that is known to have all that the level needs."""


class ProbeTracer:
    """Probes on one QEMU."""

    def __init__(
        self,
        target: Target,
        level: Level,
        probes: Probes,
        monitors: Sequence[Address] = (),
        *,
        pages: bool,
        sizes: Sizes,
    ) -> None:
        self._target = target
        self._level = level
        self._probes = probes
        self._monitors = monitors
        self._pages = pages
        self._sizes = sizes
        self._losses = Losses()
        self._bpf: Bpf | None = None
        self._runstates: RunStates | None = None

    @property
    def probes(self) -> int:
        """On this QEMU, and on destinations of its guest."""
        return 0 if self._bpf is None else self._bpf.attached

    def attach(self) -> Mapping[str, object]:
        """Compile, choose the instructions, attach."""
        target = self._target
        with Binary(target.exe) as binary:
            levels.demand(target, self._level, binary)
            plan = self._probes.plan(binary)
            defines = {"TGID": target.pid, "PAGES": int(self._pages), **self._sizes.defines(), **plan.defines}
            appended = "".join(placed.text for placed in plan.placed)
            self._bpf = Bpf((_RINGS, _RUNSTATE, plan.file), headers.find(), defines, appended)
            self._bpf.open_rings(["events", "pages"] if self._pages else ["events"])
            self._runstates = RunStates(self._bpf, target, self._monitors)
            for placed in plan.placed:
                self._bpf.attach(placed.program, target.exe, placed.point.offset, target.pid, placed.semaphore)
        return plan.facts

    def poll(self, timeout: float) -> list[TraceRecord]:
        """Losses first, so that the round they fall into carries them; then all else by time.

        They are read last: whatever was lost before an event that is heard now is told before it.
        """
        assert self._bpf is not None
        assert self._runstates is not None
        taken = self._bpf.poll(timeout)
        events = [heard(raw) for raw in taken["events"]]
        peers = self._runstates.search(any(record.channel is Channel.EVENT for record in events))
        # of one time, pages come before the round that they belong to
        batches = [heard(raw) for raw in taken.get("pages", ())]
        return [*self._losses.since(self._bpf), *sorted([*batches, *peers, *events], key=attrgetter("time_ns"))]

    def report(self, state: str) -> Mapping[str, object]:
        """By QMP."""
        return final_report.ask(self._monitors, state)

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None

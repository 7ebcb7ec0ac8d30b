"""The probes of the level `patched`: the trace events of a QEMU with the patch series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.levels import ROUND_PROBES
from fakedirty.observe.host.target import Target

from . import usdt
from .attach_point import PlacedProbe
from .tracer import ProbePlan

FILES = (
    "patched/state.c",
    "processes.c",
    *(f"patched/{name}.c" for name in ("batches", "rounds", "states")),
)
HANDLED = ("fake_dirty_batch", "fake_dirty_mode", "migrate_set_state")


@dataclass(frozen=True, slots=True)
class PatchedProbes:
    """The probes of ``probes/patched/`` for one QEMU."""

    target: Target

    @property
    def options(self) -> object:
        """The plan depends on the executable alone."""
        return ()

    def plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        """The plan, which has one program for each location of a trace event."""
        return ProbePlan(FILES, tuple(placed(binary)), {})

    def facts(self) -> Mapping[str, object]:
        """The process id, by which the reader knows the main thread: that sets the states of incoming migrations."""
        return {"tgid": self.target.pid}


def placed(binary: Binary) -> list[PlacedProbe]:
    """The programs of ``probes/patched/`` and where each is attached."""
    rounds = [name for name in ROUND_PROBES if name in binary.usdt]
    return usdt.placed(binary, [*HANDLED, *rounds[:1]])

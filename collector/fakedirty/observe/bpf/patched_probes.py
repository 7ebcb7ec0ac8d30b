"""The level `patched`: what the trace events of a QEMU with the series say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.levels import ROUND_PROBES
from fakedirty.observe.host.target import Target

from . import usdt
from .attach_point import PlacedProbe
from .process_memory import ProcessMemory
from .tracer import ProbePlan

HANDLED = ("fake_dirty_batch", "fake_dirty_mode", "migrate_set_state")


@dataclass(frozen=True, slots=True)
class PatchedProbes:
    """The probes of ``probes/patched.c`` for one QEMU."""

    target: Target

    @property
    def options(self) -> object:
        """None."""
        return ()

    def plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        """One program per USDT location."""
        return ProbePlan(("patched.c",), tuple(placed(binary)), {})

    def facts(self) -> Mapping[str, object]:
        """The process id: its main thread sets states of incoming migrations."""
        return {"tgid": self.target.pid}


def placed(binary: Binary) -> list[PlacedProbe]:
    """Programs of ``patched.c`` and where in this QEMU each goes."""
    rounds = [name for name in ROUND_PROBES if name in binary.usdt]
    return usdt.placed(binary, [*HANDLED, *rounds[:1]])

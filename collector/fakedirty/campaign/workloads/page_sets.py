"""Workloads that write sets of pages whose content is known: an idle guest, and a working set."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from fakedirty.lab.guest_load import SERIAL, GroundTruthLoad
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import MIB_FRAMES, Workload, place, working_set_words
from fakedirty.toml.tables import Table, refuse

from .metered_load import MeteredLoad
from .programs import ProgramLoad, check_room
from .sweeps import sweep_meter
from .throughput import Meter

REPORT_MS = 100  # as all guests of a campaign
SHARES = ("silent", "changed", "zero")


class BareMetalLoad(GroundTruthLoad):
    """The bare-metal guest with its page sets. It reports the number of its sweeps over its serial port."""

    service_file = SERIAL

    def __init__(self, workload: Workload) -> None:
        super().__init__(build_guest("baremetal"), workload)

    def meter(self) -> Meter:
        """As :meth:`.metered_load.MeteredLoad.meter`."""
        return sweep_meter()

    def facts(self) -> dict[str, object]:
        """As :meth:`.metered_load.MeteredLoad.facts`."""
        return {
            "guest": self.guest.guest.name,
            "build": self.guest.directory.name,
            "pages": self.workload.counts,
        }


class _PageSets(Table):
    """What both kinds have in common."""

    guest: Literal["linux", "baremetal"] = "linux"
    pause_ms: int = Field(default=20, ge=0)

    def sets(self, memory_mib: int) -> Workload:
        """The pages that are written."""
        return Workload(pause_ms=self.pause_ms, report_ms=REPORT_MS, memory_mib=memory_mib)

    def check(self, memory_mib: int) -> None:
        """As :meth:`.kinds.WorkloadKind.check`."""
        sets = self.sets(memory_mib)
        if self.guest == "baremetal":
            place(sets)
        else:
            check_room(math.ceil(sum(sets.counts.values()) / MIB_FRAMES), memory_mib)

    def load(self, memory_mib: int) -> MeteredLoad:
        """As :meth:`.kinds.WorkloadKind.load`."""
        sets = self.sets(memory_mib)
        if self.guest == "baremetal":
            return BareMetalLoad(sets)
        return ProgramLoad(memory_mib, ["workingset", *working_set_words(sets)])

    @property
    def boot_seconds(self) -> float:
        """As :attr:`.kinds.WorkloadKind.boot_seconds`."""
        return 3.0 if self.guest == "baremetal" else ProgramLoad.boot_seconds


class Idle(_PageSets):
    """``kind = "idle"``: the guest wakes up and writes no pages."""

    kind: Literal["idle"] = "idle"


class WorkingSet(_PageSets):
    """``kind = "workingset"``: the guest rewrites `size_mib` of memory, sweep after sweep.

    Attributes:
        silent: share of these pages that are rewritten with the content that they have.
        changed: share that gets new content in each sweep.
        zero: share that holds zeros after every other sweep.
        untouched_mib: memory that is filled before the first sweep and never written again.
    """

    kind: Literal["workingset"] = "workingset"
    size_mib: float = Field(default=64.0, gt=0)
    silent: float = Field(default=0.9, ge=0, le=1)
    changed: float = Field(default=0.1, ge=0, le=1)
    zero: float = Field(default=0.0, ge=0, le=1)
    untouched_mib: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _shares(self) -> WorkingSet:
        total = sum(getattr(self, name) for name in SHARES)
        if abs(total - 1) > 1e-9:
            raise refuse(f"{' + '.join(SHARES)} must be 1, not {total:g}: they are shares of the written pages")
        return self

    def sets(self, memory_mib: int) -> Workload:
        """The shares, in pages."""
        pages = self.size_mib * MIB_FRAMES
        return Workload(
            fake=round(pages * self.silent),
            changed=round(pages * self.changed),
            zero=round(pages * self.zero),
            untouched=round(self.untouched_mib * MIB_FRAMES),
            pause_ms=self.pause_ms,
            report_ms=REPORT_MS,
            memory_mib=memory_mib,
        )

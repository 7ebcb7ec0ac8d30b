"""The workloads of a campaign, by kind: each says what QEMU is to be given, and reads what the guest says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field, model_validator

from fakedirty.campaign.validation import Table, refuse
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.serial_report import GuestReport, wait_for_report
from fakedirty.lab.guests.workload import MIB_FRAMES, place, working_set_words
from fakedirty.lab.guests.workload import Workload as PageSets

from .programs import PROGRAMS, Program, ProgramLoad, check_room
from .sweeps import sweep_meter
from .throughput import Meter

SERIAL = "serial.log"
REPORT_MS = 100  # as all guests of a campaign
STRIDE_MS = 2000  # until a bare-metal guest counts as at work: its first second is slower than the rest
SHARES = ("silent", "changed", "zero")


class Load(Protocol):
    """What runs in a guest of some size, on either side."""

    service_file: str  # in the directory that the arguments were made for: where the guest says what it gets done

    def arguments(self, directory: Path) -> list[str]:
        """QEMU's arguments: machine, memory, guest. The files that it writes lie in `directory`."""

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """Until the guest is at work; LabError if it does not get there."""

    def meter(self) -> Meter:
        """What reads the lines of one side's service file."""

    def facts(self) -> dict[str, object]:
        """What it is, for the manifest."""


class WorkloadKind(Protocol):
    """A table ``[workloads.NAME]`` of a campaign file: the parameters of one kind."""

    def check(self, memory_mib: int) -> None:
        """UsageError where a guest of that size cannot have it."""

    def load(self, memory_mib: int) -> Load:
        """It, in a guest of that size, which is built if it has to be."""

    @property
    def guest(self) -> str:
        """The ground-truth guest, by name, that runs wherever its own does."""

    @property
    def boot_seconds(self) -> float:
        """About how long until the guest is at work, for an estimate."""


class _PageSets(Table):
    """What the kinds that write sets of pages have in common."""

    guest: Literal["linux", "baremetal"] = "linux"
    pause_ms: int = Field(default=20, ge=0)

    def sets(self, memory_mib: int) -> PageSets:
        """The pages that are written."""
        return PageSets(pause_ms=self.pause_ms, report_ms=REPORT_MS, memory_mib=memory_mib)

    def check(self, memory_mib: int) -> None:
        """As :meth:`Kind.check`."""
        sets = self.sets(memory_mib)
        if self.guest == "baremetal":
            place(sets)
        else:
            check_room(math.ceil(sum(sets.counts.values()) / MIB_FRAMES), memory_mib)

    def load(self, memory_mib: int) -> Load:
        """As :meth:`Kind.load`."""
        sets = self.sets(memory_mib)
        if self.guest == "baremetal":
            return BareMetalLoad(sets)
        return ProgramLoad(memory_mib, ["workingset", *working_set_words(sets)])

    @property
    def boot_seconds(self) -> float:
        """As :attr:`Kind.boot_seconds`."""
        return 3.0 if self.guest == "baremetal" else ProgramLoad.boot_seconds


class Idle(_PageSets):
    """``kind = "idle"``: a guest that writes no pages; it only wakes up."""

    kind: Literal["idle"] = "idle"


class WorkingSet(_PageSets):
    """``kind = "workingset"``: rewrites `size_mib` of memory, sweep after sweep; the shares say with what."""

    kind: Literal["workingset"] = "workingset"
    size_mib: float = Field(default=64.0, gt=0)
    silent: float = Field(default=0.9, ge=0, le=1)  # what is there already
    changed: float = Field(default=0.1, ge=0, le=1)  # another content each time
    zero: float = Field(default=0.0, ge=0, le=1)  # in turn all zero, and not
    untouched_mib: float = Field(default=0.0, ge=0)  # filled before, never written

    @model_validator(mode="after")
    def _shares(self) -> WorkingSet:
        total = sum(getattr(self, name) for name in SHARES)
        if abs(total - 1) > 1e-9:
            raise refuse(f"{' + '.join(SHARES)} must be 1: they are shares of what is written; they are {total:g}")
        return self

    def sets(self, memory_mib: int) -> PageSets:
        """The shares, in pages."""
        pages = self.size_mib * MIB_FRAMES
        return PageSets(
            fake=round(pages * self.silent),
            changed=round(pages * self.changed),
            zero=round(pages * self.zero),
            untouched=round(self.untouched_mib * MIB_FRAMES),
            pause_ms=self.pause_ms,
            report_ms=REPORT_MS,
            memory_mib=memory_mib,
        )


#: the kinds by name; a kind is a workload of its own, too, with what its table says where nothing is given
KINDS: Mapping[str, type[Idle] | type[WorkingSet] | type[Program]] = {
    "workingset": WorkingSet,
    "idle": Idle,
    **PROGRAMS,
}


class BareMetalLoad:
    """The bare-metal guest with its page sets; it says over its serial port how many sweeps it has done."""

    service_file = SERIAL

    def __init__(self, sets: PageSets) -> None:
        self._guest = build_guest("baremetal")
        self._sets = sets

    def arguments(self, directory: Path) -> list[str]:
        """As :meth:`Load.arguments`."""
        return self._guest.qemu_arguments(self._sets, directory / SERIAL)

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """Until it is in its stride."""
        wait_for_report(directory / SERIAL, _is_sweeping, seconds=seconds, check_alive=check_alive)

    def meter(self) -> Meter:
        """As :meth:`Load.meter`."""
        return sweep_meter()

    def facts(self) -> dict[str, object]:
        """As :meth:`Load.facts`."""
        return {"guest": self._guest.guest.name, "build": self._guest.directory.name, "pages": self._sets.counts}


def _is_sweeping(report: GuestReport) -> bool:
    return bool(report.sweeps) and report.sweeps[-1].milliseconds >= STRIDE_MS

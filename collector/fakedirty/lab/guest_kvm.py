"""Whether KVM runs a guest here: only a guest of the same kind that has answered says so."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError

from .guest import BuiltGuest
from .guest_report import wait_for_report
from .guest_workload import PROBE
from .machine import machine

PROBE_SECONDS = 30.0  # a KVM that emulates takes 4 s to get through the firmware


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What to give to ``-accel``, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose_accelerator(
    qemu: Path, guest: BuiltGuest, *, seconds: float = PROBE_SECONDS, kvm: Path = Path("/dev/kvm")
) -> Accelerator:
    """KVM if `guest`, with a few pages, sweeps under it within `seconds`; else TCG. Says which and why."""
    if not kvm.exists():
        return Accelerator("tcg", f"there is no {kvm}")
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory:
        serial = Path(directory) / "serial.log"
        try:
            with machine("probe", qemu, guest.qemu_arguments(PROBE, serial), accelerator="kvm") as probe:
                wait_for_report(
                    serial, lambda report: bool(report.sweeps), seconds=seconds, check_alive=probe.check_alive
                )
        except LabError as error:
            why = str(error).removesuffix(f"; what it said is in {serial}")  # which is gone
            return Accelerator("tcg", f"a {guest.guest.name} guest did not answer under KVM: {why}")
    return Accelerator("kvm", f"a {guest.guest.name} guest answered")


def kvm_runs(qemu: Path, guest: BuiltGuest, *, seconds: float = PROBE_SECONDS) -> bool:
    """Whether KVM runs `guest` here."""
    return choose_accelerator(qemu, guest, seconds=seconds).name == "kvm"

"""Whether KVM runs a guest here, and reports its written pages by a ring: only a guest that has answered says so."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.qmp.client import QmpRefusedError

from .guests.recipes import BuiltGuest
from .guests.serial_report import wait_for_report
from .guests.workload import PROBE
from .machine import Machine, machine

PROBE_SECONDS = 30.0  # a KVM that emulates takes 4 s to get through the firmware
KVM = Path("/dev/kvm")

RING_ENTRIES = 4096
CHECK_EXTENSION = 0xAE03
RING_EXTENSIONS = {"KVM_CAP_DIRTY_LOG_RING": 192, "KVM_CAP_DIRTY_LOG_RING_ACQ_REL": 223}  # one of them is enough


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What to give to ``-accel``, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose_accelerator(
    qemu: Path, guest: BuiltGuest, *, seconds: float = PROBE_SECONDS, kvm: Path = KVM
) -> Accelerator:
    """KVM if `guest`, with a few pages, sweeps under it within `seconds`; else TCG. Says which and why."""
    if not kvm.exists():
        return Accelerator("tcg", f"there is no {kvm}")
    if why := _silent(qemu, guest, "kvm", seconds):
        return Accelerator("tcg", f"a {guest.guest.name} guest did not answer under KVM: {why}")
    return Accelerator("kvm", f"a {guest.guest.name} guest answered")


def kvm_runs(qemu: Path, guest: BuiltGuest, *, seconds: float = PROBE_SECONDS) -> bool:
    """Whether KVM runs `guest` here."""
    return choose_accelerator(qemu, guest, seconds=seconds).name == "kvm"


def accelerated_by(accelerator: str, ring: int | None) -> str:
    """The word for ``-accel``: KVM with a dirty ring of so many entries, if it is to have one."""
    return accelerator if ring is None else f"{accelerator},dirty-ring-size={ring}"


def ring_refused(
    qemu: Path, guest: BuiltGuest, *, entries: int = RING_ENTRIES, seconds: float = PROBE_SECONDS, kvm: Path = KVM
) -> str:
    """Why KVM reports the pages that `guest` writes by no dirty ring, with the call that refuses it; empty if it does.

    A QEMU that gets no ring may go on with a bitmap. It says so where it is to have dirty-limit, which needs the ring.
    """
    return _no_ring(kvm) or _silent(qemu, guest, accelerated_by("kvm", entries), seconds, _has_ring)


def _no_ring(kvm: Path) -> str:
    """What the kernel says of its rings, where it has none."""
    call = f"ioctl({kvm}, KVM_CHECK_EXTENSION)"
    try:
        descriptor = os.open(kvm, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"open({kvm}) fails: {_named(error)}"
    try:
        largest = max(fcntl.ioctl(descriptor, CHECK_EXTENSION, number) for number in RING_EXTENSIONS.values())
    except OSError as error:
        return f"{call} fails: {_named(error)}"
    finally:
        os.close(descriptor)
    return "" if largest > 0 else f"{call} is {largest} for {' and '.join(RING_EXTENSIONS)}"


def _named(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, error.errno)}, {error.strerror}"


def _has_ring(probe: Machine) -> None:
    try:
        probe.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "dirty-limit", "state": True}])
    except QmpRefusedError as error:
        raise LabError(f"QEMU goes on without: {error}") from error


def _silent(
    qemu: Path,
    guest: BuiltGuest,
    accelerator: str,
    seconds: float,
    check: Callable[[Machine], object] = lambda probe: None,
) -> str:
    """Why `guest` does not sweep under an accelerator within `seconds`, or fails a `check`; empty if all is well."""
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory:
        serial = Path(directory) / "serial.log"
        try:
            with machine("probe", qemu, guest.qemu_arguments(PROBE, serial), accelerator=accelerator) as probe:
                wait_for_report(
                    serial, lambda report: bool(report.sweeps), seconds=seconds, check_alive=probe.check_alive
                )
                check(probe)
        except LabError as error:
            return str(error).removesuffix(f"; what it said is in {serial}")  # which is gone
    return ""

"""Finds out by a small guest whether KVM runs guests on this host, and whether it has a dirty ring."""

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
    """A value for QEMU's ``-accel``, and the reason for it."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose_accelerator(
    qemu: Path, guest: BuiltGuest, *, seconds: float = PROBE_SECONDS, kvm: Path = KVM
) -> Accelerator:
    """Choose KVM if `guest`, with a few pages, sweeps under it; else TCG.

    Args:
        qemu: the binary that runs the guest.
        guest: the guest that is tried. A KVM may run one kind of guest and not another.
        seconds: how long the guest may take to its first sweep.
        kvm: the device file of KVM.
    """
    if not kvm.exists():
        return Accelerator("tcg", f"there is no {kvm}")
    if why := _probe_failure(qemu, guest, "kvm", seconds):
        return Accelerator("tcg", f"a {guest.guest.name} guest did not answer under KVM: {why}")
    return Accelerator("kvm", f"a {guest.guest.name} guest answered")


def kvm_runs(qemu: Path, guest: BuiltGuest, *, seconds: float = PROBE_SECONDS) -> bool:
    """Whether KVM runs `guest` on this host."""
    return choose_accelerator(qemu, guest, seconds=seconds).name == "kvm"


def accelerator_argument(accelerator: str, ring: int | None) -> str:
    """The value of ``-accel``; with `ring`, KVM gets a dirty ring of so many entries."""
    return accelerator if ring is None else f"{accelerator},dirty-ring-size={ring}"


def ring_refusal(
    qemu: Path, guest: BuiltGuest, *, entries: int = RING_ENTRIES, seconds: float = PROBE_SECONDS, kvm: Path = KVM
) -> str:
    """Why KVM has no dirty ring for `guest`, with the call that fails; empty if it has one.

    A QEMU that gets no ring may go on with a bitmap. Its refusal of dirty-limit, which needs the ring, reveals that.
    """
    return _kernel_refusal(kvm) or _probe_failure(
        qemu, guest, accelerator_argument("kvm", entries), seconds, _check_ring
    )


def _kernel_refusal(kvm: Path) -> str:
    """The answer of a kernel that has no dirty ring; empty if it has one."""
    call = f"ioctl({kvm}, KVM_CHECK_EXTENSION)"
    try:
        descriptor = os.open(kvm, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"open({kvm}) fails: {_error_text(error)}"
    try:
        largest = max(fcntl.ioctl(descriptor, CHECK_EXTENSION, number) for number in RING_EXTENSIONS.values())
    except OSError as error:
        return f"{call} fails: {_error_text(error)}"
    finally:
        os.close(descriptor)
    return "" if largest > 0 else f"{call} is {largest} for {' and '.join(RING_EXTENSIONS)}"


def _error_text(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, error.errno)}, {error.strerror}"


def _check_ring(probe: Machine) -> None:
    try:
        probe.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "dirty-limit", "state": True}])
    except QmpRefusedError as error:
        raise LabError(f"QEMU goes on without: {error}") from error


def _probe_failure(
    qemu: Path,
    guest: BuiltGuest,
    accelerator: str,
    seconds: float,
    check: Callable[[Machine], object] = lambda probe: None,
) -> str:
    """Why `guest` does not sweep under `accelerator` within `seconds`, or why `check` fails; empty if all is well."""
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory:
        serial = Path(directory) / "serial.log"
        try:
            with machine("probe", qemu, guest.qemu_arguments(PROBE, serial), accelerator=accelerator) as probe:
                wait_for_report(
                    serial, lambda report: bool(report.sweeps), seconds=seconds, check_alive=probe.check_alive
                )
                check(probe)
        except LabError as error:
            return str(error).removesuffix(f"; its serial log is {serial}")  # which is removed with the directory
    return ""

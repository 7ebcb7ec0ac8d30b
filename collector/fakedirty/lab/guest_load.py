"""The load of a guest: the arguments that start QEMU with it, and when the guest is at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.serial_report import GuestReport, read_report, wait_for_report
from fakedirty.lab.guests.workload import Workload

SERIAL = "serial.log"
STEADY_MS = 2000  # the first second of sweeps is slower than the rest


class GuestLoad(Protocol):
    """What the guest of an experiment does, on the source and on the destination."""

    @property
    def memory_mib(self) -> int:
        """Memory of the guest, in MiB."""

    def arguments(self, directory: Path) -> list[str]:
        """QEMU's arguments for the machine, its memory and the guest.

        Args:
            directory: where QEMU writes the files of this guest. Source and destination need one each.
        """

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """Wait until the guest is at work.

        Args:
            directory: the one that `arguments` was given.
            seconds: the longest time to wait.
            check_alive: raises if the QEMU of the guest has ended.

        Raises:
            LabError: the guest reports an error, or the time is up.
        """


class GroundTruthLoad:
    """A ground-truth guest that writes its page sets, sweep after sweep, and reports over its serial port."""

    def __init__(self, guest: BuiltGuest, workload: Workload) -> None:
        self.guest = guest
        self.workload = workload

    @property
    def memory_mib(self) -> int:
        """As :attr:`GuestLoad.memory_mib`."""
        return self.workload.memory_mib

    def arguments(self, directory: Path) -> list[str]:
        """As :meth:`GuestLoad.arguments`."""
        return self.guest.qemu_arguments(self.workload, directory / SERIAL)

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """As :meth:`GuestLoad.wait`: the guest is at work once its sweeps are steady."""
        wait_for_report(directory / SERIAL, _is_steady, seconds=seconds, check_alive=check_alive)


def serial_report(directory: Path) -> GuestReport:
    """The report of a ground-truth guest whose files are in `directory`, as far as it has come."""
    return read_report(directory / SERIAL)


def _is_steady(report: GuestReport) -> bool:
    return bool(report.sweeps) and report.sweeps[-1].milliseconds >= STEADY_MS

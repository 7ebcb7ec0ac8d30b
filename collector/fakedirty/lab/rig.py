"""A rig: one guest and its network, in which sources and destinations are started one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fakedirty.lab.guests.content import PAGE_WORDS, check_content
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.serial_report import GuestReport, wait_for_report
from fakedirty.lab.guests.workload import Workload

from .machine import INCOMING, RUNNING, Machine, machine
from .memory_compare import MemoryReport, Side, block_content, compare_memory
from .network import End, Network

RAM = "pc.ram"


@dataclass(frozen=True, slots=True)
class Rig:
    """What the source and the destinations have in common.

    Attributes:
        qemu: the binary.
        guest: the ground-truth guest.
        workload: its page sets.
        network: None for the network of the host. Then there is no destination.
        accelerator: QEMU's, `tcg` or `kvm`.
        more: further arguments of QEMU.
        name: name of the guest.
    """

    qemu: Path
    guest: BuiltGuest
    workload: Workload
    network: Network | None
    accelerator: str = "tcg"
    more: Sequence[str] = ()
    name: str = "bench"

    @contextmanager
    def source(self, enough: Callable[[GuestReport], bool] = lambda report: report.ready) -> Iterator[Machine]:
        """Start a source, and wait until its guest is at work.

        Args:
            enough: whether a report of the guest shows that it is at work.
        """
        with self._reported_source(enough) as (source, _report):
            yield source

    @contextmanager
    def sweeping_source(self) -> Iterator[tuple[Machine, GuestReport]]:
        """Start a source, and wait until its guest has swept. With it comes what the guest has reported by then."""
        with self._reported_source(lambda report: len(report.sweeps) > 1) as found:
            yield found

    @contextmanager
    def destination(self, *, runs: bool = False) -> Iterator[Machine]:
        """Start a destination. The one before it must have ended.

        Args:
            runs: whether the guest runs after the switchover. By default it stays stopped.
        """
        more = RUNNING if runs else INCOMING
        with self._machine(self.network.destination if self.network else None, more) as (destination, _log):
            yield destination

    @contextmanager
    def _reported_source(self, enough: Callable[[GuestReport], bool]) -> Iterator[tuple[Machine, GuestReport]]:
        with self._machine(self.network.source if self.network else None) as (source, log):
            seconds = self.guest.guest.ready_seconds
            yield source, wait_for_report(log, enough, seconds=seconds, check_alive=source.check_alive)

    @contextmanager
    def _machine(self, end: End | None, more: Sequence[str] = ()) -> Iterator[tuple[Machine, Path]]:
        with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory:
            log = Path(directory) / "serial.log"
            arguments = [*self.guest.qemu_arguments(self.workload, log), *self.more, *more]
            with machine(self.name, self.qemu, arguments, accelerator=self.accelerator, end=end) as made:
                yield made, log


def compared(source: Machine, destination: Machine) -> MemoryReport:
    """Compare the memories of two machines after a migration, in pages of the size that the source reports."""
    page_size = int(source.qmp.execute("query-migrate")["ram"]["page-size"])
    return compare_memory(Side(source.qmp, source.pid), Side(destination.qmp, destination.pid), page_size)


def holds_what_was_written(destination: Machine, report: GuestReport) -> bool:
    """Whether all pages of a guest that ran on after its arrival hold what it wrote. This stops the guest.

    Args:
        destination: that runs it.
        report: what the guest reported of its pages on the source.
    """
    destination.qmp.execute("stop")
    content = block_content(Side(destination.qmp, destination.pid), RAM)
    return check_content(np.frombuffer(content, np.uint32).reshape(-1, PAGE_WORDS), report).right

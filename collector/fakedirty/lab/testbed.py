"""A bench: one guest and the network for it, from which sources that work and destinations that wait are taken."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.serial_report import GuestReport, wait_for_report
from fakedirty.lab.guests.workload import Workload

from .machine import INCOMING, RUNNING, Machine, machine
from .memory_compare import MemoryReport, Side, compare_memory
from .network import End, Network


@dataclass(frozen=True, slots=True)
class Testbed:
    """What source and destinations have in common; `more` are further arguments of QEMU.

    Without a `network` there is no destination, and the source has that of the host.
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
        """A machine whose guest is at work: its report is `enough`."""
        with self._machine(self.network.source if self.network else None) as (source, log):
            seconds = self.guest.guest.ready_seconds
            wait_for_report(log, enough, seconds=seconds, check_alive=source.check_alive)
            yield source

    @contextmanager
    def destination(self, *, runs: bool = False) -> Iterator[Machine]:
        """A machine that waits to be migrated to; the one before it must be gone. It `runs`, or stays stopped."""
        more = RUNNING if runs else INCOMING
        with self._machine(self.network.destination if self.network else None, more) as (destination, _log):
            yield destination

    @contextmanager
    def _machine(self, end: End | None, more: Sequence[str] = ()) -> Iterator[tuple[Machine, Path]]:
        with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory:
            log = Path(directory) / "serial.log"
            arguments = [*self.guest.qemu_arguments(self.workload, log), *self.more, *more]
            with machine(self.name, self.qemu, arguments, accelerator=self.accelerator, end=end) as made:
                yield made, log


def compared(source: Machine, destination: Machine) -> MemoryReport:
    """The memories of two machines after a migration, compared by the source's page size."""
    page_size = int(source.qmp.execute("query-migrate")["ram"]["page-size"])
    return compare_memory(Side(source.qmp, source.pid), Side(destination.qmp, destination.pid), page_size)

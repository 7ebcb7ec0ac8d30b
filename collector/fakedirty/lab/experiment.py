"""One run: a guest on a source and a destination, migrated over a shaped link with an observer attached."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.serial_report import GuestReport, read_report, wait_for_report
from fakedirty.lab.guests.workload import Workload
from fakedirty.model.enums import Level, Mode
from fakedirty.model.migration import Migration
from fakedirty.model.sink import Sink
from fakedirty.qmp.mode import set_mode

from .machine import INCOMING, Machine, machine
from .memory_compare import MemoryReport, Side, compare_memory
from .migrate import Outcome, Settings, Step, migrate
from .network import GIGABIT, End, shaped_network
from .observation import watched


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is to be run. `steps` are taken while the migration runs; `pages` asks for page records;
    `mode` is the one to start with, None for a QEMU that may have none.

    `odd_memory` takes 8 KiB from the guest, which a QEMU before 9.0 needs under TCG: where RAM is a multiple
    of 64 pages, its bitmap sync clears bits without telling the TLB and so loses writes, with or without an
    observer (fixed by "physmem: Fix migration dirty bitmap coherency with TCG memory access"); page by page
    it does not.
    """

    vm: str
    qemu: Path
    guest: BuiltGuest
    workload: Workload
    level: Level
    mode: Mode | None = None
    settings: Settings = field(default_factory=Settings)
    steps: Sequence[Step] = ()
    time_limit: float = 60.0
    bits_per_second: int = GIGABIT
    accelerator: str = "tcg"
    pages: bool = False
    odd_memory: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    `measured_rounds` are the rounds that had ended when ``outcome.measured`` was taken; `link_bytes` is
    what the source had put on the wire by then. `memory` is None only where the migration did not complete.
    """

    outcome: Outcome
    migration: Migration
    measured_rounds: int
    link_bytes: int
    memory: MemoryReport | None
    report: GuestReport


def run_experiment(experiment: Experiment, sinks: Sequence[Sink]) -> Result:
    """Run it. Whatever it raises, nothing of it is left behind: no process, namespace, probe or file."""
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fakedirty-")))
        network = stack.enter_context(shaped_network(experiment.bits_per_second))
        source = stack.enter_context(_machine(experiment, network.source, logs / "source.log"))
        destination = stack.enter_context(_machine(experiment, network.destination, logs / "destination.log", INCOMING))
        ready = experiment.guest.guest.ready_seconds
        wait_for_report(logs / "source.log", _is_sweeping, seconds=ready, check_alive=source.check_alive)
        if experiment.mode is not None:
            set_mode(source.qmp, experiment.mode)
        observer = watched(source.pid, experiment.level, sinks, pages=experiment.pages, qmp_path=source.observer_socket)
        watch = stack.enter_context(observer)
        at_limit: list[tuple[int, int]] = []
        outcome = migrate(
            source,
            destination,
            experiment.settings,
            time_limit=experiment.time_limit,
            steps=experiment.steps,
            at_limit=lambda: at_limit.append((watch.rounds, network.source.sent_bytes())),
        )
        migration = watch.migration()
        rounds, link_bytes = at_limit[0] if at_limit else (len(migration.rounds), network.source.sent_bytes())
        memory = None
        if outcome.status == "completed":
            page_size = int(outcome.final["ram"]["page-size"])
            memory = compare_memory(_side(source), _side(destination), page_size)
        return Result(outcome, migration, rounds, link_bytes, memory, read_report(logs / "source.log"))


def _machine(
    experiment: Experiment, end: End, serial: Path, more: Sequence[str] = ()
) -> AbstractContextManager[Machine]:
    arguments = experiment.guest.qemu_arguments(experiment.workload, serial)
    if experiment.odd_memory:
        arguments += ["-m", f"{experiment.workload.memory_mib * 1024 - 8}k"]  # the last -m counts
    return machine(experiment.vm, experiment.qemu, [*arguments, *more], accelerator=experiment.accelerator, end=end)


def _is_sweeping(report: GuestReport) -> bool:
    """Whether the guest is in its stride: the first second after `ready` is slower than the rest."""
    return len(report.sweeps) > 1


def _side(side: Machine) -> Side:
    return Side(side.qmp, side.pid)

"""One experiment: a guest on a source and a destination, migrated over a shaped link while somebody observes it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.model.enums import Level, Mode
from fakedirty.model.migration import Migration
from fakedirty.model.sink import Sink
from fakedirty.qmp.mode import set_mode

from .guest_load import GuestLoad, serial_report
from .machine import INCOMING, Machine, machine
from .measurements import GuestPair, Measurements
from .memory_compare import MemoryReport
from .migrate import MigrationResult, Settings, Step, migrate
from .network import GIGABIT, End, Network, shaped_network
from .observation import Observation, observed
from .rig import compared

ODD_KIB = 8

#: attaches an observer to the source
Observe = Callable[[Machine], AbstractContextManager[Observation]]


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is run.

    Attributes:
        vm: name of the guest, on both sides.
        qemu: the binary of both sides.
        load: what the guest does.
        level: the level at which the migration is observed.
        mode: the mode that is set once the guest is at work. None leaves it: a QEMU without the patch series has none.
        settings: how the guest is migrated.
        steps: what is done while the migration runs.
        time_limit: seconds, after which the migration is measured and then let through.
        ready_limit: seconds that the guest has to get to work.
        bits_per_second: bandwidth of the link, each way.
        accelerator: QEMU's, `tcg` or `kvm`.
        vcpus: of the guest.
        pages: whether the observer records pages.
        odd_memory: whether the guest gets ODD_KIB less. A QEMU before 9.0 needs that under TCG. Where RAM is a
            multiple of 64 pages, its bitmap sync clears bits and does not tell the TLB, and so it loses writes, with
            or without an observer ("physmem: Fix migration dirty bitmap coherency with TCG memory access" mends it).
            Page by page it does not.
    """

    vm: str
    qemu: Path
    load: GuestLoad
    level: Level
    mode: Mode | None = None
    settings: Settings = field(default_factory=Settings)
    steps: Sequence[Step] = ()
    time_limit: float = 60.0
    ready_limit: float = 240.0
    bits_per_second: int = GIGABIT
    accelerator: str = "tcg"
    vcpus: int = 1
    pages: bool = False
    odd_memory: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What an experiment with a ground-truth guest gave.

    Attributes:
        outcome: how the migration ended.
        migration: the migration as it was observed.
        measured_rounds: rounds that had ended when ``outcome.measured`` was taken.
        link_bytes: bytes that the source had put on the link by then, headers included.
        memory: None only if the migration did not complete.
        report: what the guest reported of its pages and sweeps.
    """

    outcome: MigrationResult
    migration: Migration
    measured_rounds: int
    link_bytes: int
    memory: MemoryReport | None
    report: GuestReport


def run_experiment(experiment: Experiment, sinks: Sequence[Sink]) -> Result:
    """Run an experiment whose load is a ground-truth guest.

    Args:
        experiment: what is run.
        sinks: get the observed migration.

    Raises:
        FakedirtyError: the experiment, or its observer, failed. No process, namespace, probe or file is left behind.
    """
    measurements = _ResultMeasurements()
    observe = partial(_observed, experiment=experiment, sinks=sinks)
    carry_out(experiment, observe, measurements)
    return measurements.result()


def carry_out(experiment: Experiment, observe: Observe, measurements: Measurements) -> None:
    """Start both machines, migrate the guest while it is observed, and compare its memory.

    Args:
        experiment: what is run.
        observe: attaches the observer when the guest is at work; the observer is detached at the end.
        measurements: is called at each stage.

    Raises:
        FakedirtyError: the experiment, or its observer, failed. No process, namespace, probe or file is left behind.
    """
    with ExitStack() as stack:
        network = stack.enter_context(shaped_network(experiment.bits_per_second))
        pair = stack.enter_context(_pair(experiment, network))
        source = pair.source
        stack.enter_context(measurements.beside_machines(pair))
        experiment.load.wait(pair.source_directory, experiment.ready_limit, source.check_alive)
        measurements.guest_at_work(pair)
        if experiment.mode is not None:
            set_mode(source.qmp, experiment.mode)
        observer = stack.enter_context(observe(source))

        def measure() -> None:
            measurements.measured(pair, observer.rounds)

        with measurements.beside_migration(pair):
            outcome = migrate(
                source,
                pair.destination,
                experiment.settings,
                time_limit=experiment.time_limit,
                steps=experiment.steps,
                at_limit=measure,
            )
            if outcome.converged:
                measure()
        measurements.migrated(pair, outcome)
        measurements.observed(observer.migration())
        if outcome.status == "completed":
            measurements.compared(pair, compared(source, pair.destination))


class _ResultMeasurements(Measurements):
    """Collects the result of an experiment with a ground-truth guest."""

    def __init__(self) -> None:
        self._rounds = 0
        self._link_bytes = 0
        self._outcome: MigrationResult | None = None
        self._migration: Migration | None = None
        self._memory: MemoryReport | None = None
        self._report = GuestReport()

    @contextmanager
    def beside_machines(self, pair: GuestPair) -> Iterator[None]:
        """Read the guest's report at the end."""
        yield
        self._report = serial_report(pair.source_directory)

    def measured(self, pair: GuestPair, rounds: int) -> None:
        """Count what the source has sent."""
        assert pair.source.end is not None, "an experiment has a network"
        self._rounds, self._link_bytes = rounds, pair.source.end.sent_bytes()

    def migrated(self, pair: GuestPair, outcome: MigrationResult) -> None:
        """Keep how it ended."""
        self._outcome = outcome

    def observed(self, migration: Migration | None) -> None:
        """Keep the migration."""
        self._migration = migration

    def compared(self, pair: GuestPair, memory: MemoryReport) -> None:
        """Keep what the comparison found."""
        self._memory = memory

    def result(self) -> Result:
        """The result of an experiment that did not fail."""
        outcome, migration = self._outcome, self._migration
        assert outcome is not None
        assert migration is not None
        # the observer may be behind at the end of the migration, and has seen all of it later
        rounds = len(migration.rounds) if outcome.converged else self._rounds
        return Result(outcome, migration, rounds, self._link_bytes, self._memory, self._report)


def _observed(source: Machine, *, experiment: Experiment, sinks: Sequence[Sink]) -> AbstractContextManager[Observation]:
    return observed(source.pid, experiment.level, sinks, pages=experiment.pages, qmp_path=source.observer_socket)


@contextmanager
def _pair(experiment: Experiment, network: Network) -> Iterator[GuestPair]:
    with ExitStack() as stack:
        directories = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fakedirty-"))) for _side in range(2)
        ]
        source = stack.enter_context(_machine(experiment, network.source, directories[0]))
        destination = stack.enter_context(_machine(experiment, network.destination, directories[1], INCOMING))
        yield GuestPair(source, destination, *directories)


def _machine(
    experiment: Experiment, end: End, directory: Path, more: Sequence[str] = ()
) -> AbstractContextManager[Machine]:
    arguments = [*experiment.load.arguments(directory), "-smp", str(experiment.vcpus)]
    if experiment.odd_memory:
        arguments += ["-m", f"{experiment.load.memory_mib * 1024 - ODD_KIB}k"]  # QEMU takes the last -m
    return machine(experiment.vm, experiment.qemu, [*arguments, *more], accelerator=experiment.accelerator, end=end)

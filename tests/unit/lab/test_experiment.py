"""An experiment: its stages in their order, each measured once, with machines and migration that are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakedirty.errors import LabError
from fakedirty.lab import experiment as experiments
from fakedirty.lab.experiment import Experiment, carry_out, run_experiment
from fakedirty.lab.guest_load import SERIAL, GroundTruthLoad
from fakedirty.lab.guests.recipes import GUESTS, BuiltGuest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import INCOMING, Machine
from fakedirty.lab.measurements import GuestPair, Measurements
from fakedirty.lab.memory_compare import MemoryReport
from fakedirty.lab.migrate import MigrationResult
from fakedirty.model.enums import Level, Mode
from fakedirty.model.migration import Migration
from made_migrations import made, tell

EQUAL = MemoryReport((), ())
SENT_BYTES = 4096


class Load:
    """A guest of 64 MiB that is at work at once."""

    memory_mib = 64

    def __init__(self, log: list[object]) -> None:
        self._log = log

    def arguments(self, directory: Path) -> list[str]:
        return ["-m", "64", "-serial", str(directory / SERIAL)]

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        self._log.append(("wait", seconds))


class Observer:
    """Has seen the end of three rounds so far."""

    rounds = 3

    def __init__(self, log: list[object], migration: Migration | None = None) -> None:
        self._log = log
        self._migration = migration

    def migration(self) -> Migration | None:
        self._log.append("observer is over")
        return self._migration


class Stages(Measurements):
    """Notes each stage."""

    def __init__(self, log: list[object]) -> None:
        self._log = log

    @contextmanager
    def beside_machines(self, pair: GuestPair) -> Iterator[None]:
        self._log.append("machines")
        yield
        self._log.append("machines end")

    def guest_at_work(self, pair: GuestPair) -> None:
        self._log.append("at work")

    @contextmanager
    def beside_migration(self, pair: GuestPair) -> Iterator[None]:
        self._log.append("migration")
        yield
        self._log.append("migration ends")

    def measured(self, pair: GuestPair, rounds: int) -> None:
        self._log.append(("measured", rounds))

    def migrated(self, pair: GuestPair, outcome: MigrationResult) -> None:
        self._log.append(outcome.status)

    def observed(self, migration: Migration | None) -> None:
        self._log.append("observed")

    def compared(self, pair: GuestPair, memory: MemoryReport) -> None:
        assert memory is EQUAL
        self._log.append("compared")


class Played:
    """Stands for network, machines, migration and comparison; `outcome` is that of the migration."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[object] = []
        self.command_lines: list[list[str]] = []
        self.outcome = outcome()
        for name in ("shaped_network", "machine", "migrate", "compared", "set_mode"):
            monkeypatch.setattr(experiments, name, getattr(self, name))

    @contextmanager
    def shaped_network(self, bits_per_second: int) -> Iterator[object]:
        self.log.append(("network", bits_per_second))
        try:
            yield SimpleNamespace(source="source", destination="destination")
        finally:
            self.log.append("network ends")

    @contextmanager
    def machine(
        self, name: str, qemu: Path, arguments: Sequence[str], *, accelerator: str, end: object
    ) -> Iterator[object]:
        self.log.append(f"{end} starts")
        self.command_lines.append(list(arguments))
        played_end = SimpleNamespace(sent_bytes=lambda: SENT_BYTES)
        try:
            yield SimpleNamespace(
                name=name, qmp=end, pid=7, end=played_end, check_alive=lambda: None, observer_socket=Path("observer")
            )
        finally:
            self.log.append(f"{end} ends")

    def migrate(
        self, source: Any, destination: Any, settings: object, *, time_limit: float, steps: object, at_limit: Any
    ) -> MigrationResult:
        assert (source.qmp, destination.qmp) == ("source", "destination")
        self.log.append("migrate")
        if not self.outcome.converged:
            at_limit()
        self.log.append("migrate ends")
        return self.outcome

    def compared(self, source: Any, destination: Any) -> MemoryReport:
        assert (source.qmp, destination.qmp) == ("source", "destination")
        return EQUAL

    def set_mode(self, qmp: object, mode: Mode) -> None:
        self.log.append((qmp, mode))

    def run(self, **changes: Any) -> list[object]:
        """The log of an experiment."""
        carry_out(self.experiment(**changes), self.observe, Stages(self.log))
        return self.log

    def experiment(self, **changes: Any) -> Experiment:
        return Experiment("guest", Path("qemu"), Load(self.log), Level.QMP, bits_per_second=1000, **changes)

    @contextmanager
    def observe(self, source: Machine) -> Iterator[Observer]:
        self.log.append("observer")
        try:
            yield Observer(self.log)
        finally:
            self.log.append("observer ends")


def outcome(status: str = "completed", *, converged: bool = True) -> MigrationResult:
    return MigrationResult(status, converged, 60.0, {}, {})


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


BEGIN = [("network", 1000), "source starts", "destination starts", "machines", ("wait", 240.0), "at work", "observer"]
END = ["observer ends", "machines end", "destination ends", "source ends", "network ends"]


def test_the_stages_of_a_migration_that_converges(played: Played) -> None:
    assert played.run() == [
        *BEGIN,
        *("migration", "migrate", "migrate ends", ("measured", 3), "migration ends"),
        *("completed", "observer is over", "observed", "compared"),
        *END,
    ]


def test_a_migration_at_its_time_limit_is_measured_there_and_not_again(played: Played) -> None:
    played.outcome = outcome(converged=False)
    assert played.run() == [
        *BEGIN,
        *("migration", "migrate", ("measured", 3), "migrate ends", "migration ends"),
        *("completed", "observer is over", "observed", "compared"),
        *END,
    ]


def test_the_memory_of_a_migration_that_fails_is_not_compared(played: Played) -> None:
    played.outcome = outcome("failed")
    assert played.run()[-3 - len(END) :] == ["failed", "observer is over", "observed", *END]


def test_a_mode_is_set_once_the_guest_is_at_work_and_before_the_observer(played: Played) -> None:
    log = played.run(mode=Mode.OBSERVE)
    assert log[log.index("at work") :][:3] == ["at work", ("source", Mode.OBSERVE), "observer"]


def test_everything_ends_where_a_stage_fails(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_named: object) -> MigrationResult:
        raise LabError("it broke")

    monkeypatch.setattr(experiments, "migrate", fail)
    with pytest.raises(LabError, match="it broke"):
        played.run()
    assert played.log == [*BEGIN, "migration", *(each for each in END if each != "machines end")]


def test_the_arguments_of_both_sides(played: Played) -> None:
    played.run(vcpus=2)
    source, destination = played.command_lines
    assert (source[:3], source[4:]) == (["-m", "64", "-serial"], ["-smp", "2"])
    assert destination[4:] == ["-smp", "2", *INCOMING]
    assert source[3] != destination[3], "each side has its own directory"


def test_odd_memory_overrides_the_memory_of_the_load(played: Played) -> None:
    played.run(odd_memory=True)
    assert played.command_lines[0][4:] == ["-smp", "1", "-m", "65528k"]


def test_a_result_has_all_rounds_of_a_migration_that_converged(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    migration = tell(made(), [])
    watched = []

    @contextmanager
    def observed(pid: int, level: Level, sinks: object, *, pages: bool, qmp_path: Path) -> Iterator[Observer]:
        watched.append((pid, level, pages, qmp_path))
        yield Observer([], migration)

    monkeypatch.setattr(experiments, "observed", observed)
    result = run_experiment(played.experiment(pages=True), [])
    assert watched == [(7, Level.QMP, True, Path("observer"))]
    assert (result.migration, result.memory, result.link_bytes) == (migration, EQUAL, SENT_BYTES)
    assert result.measured_rounds == len(migration.rounds) != Observer.rounds
    assert not result.report.ready
    played.outcome = outcome(converged=False)
    assert run_experiment(played.experiment(), []).measured_rounds == Observer.rounds


def test_a_ground_truth_guest_is_at_work_once_its_sweeps_are_steady(tmp_path: Path) -> None:
    load = GroundTruthLoad(BuiltGuest(GUESTS["baremetal"], tmp_path), Workload(fake=8, memory_mib=96))
    assert load.memory_mib == 96
    assert f"file:{tmp_path / SERIAL}" in load.arguments(tmp_path)
    log = tmp_path / SERIAL
    log.write_text("guest: ready\nguest: sweeps 90 1999 20\n")
    with pytest.raises(LabError):
        load.wait(tmp_path, 0, lambda: None)
    with log.open("a") as more:
        more.write("guest: sweeps 91 2000 20\n")
    load.wait(tmp_path, 0, lambda: None)

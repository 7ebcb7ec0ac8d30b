"""A run of a campaign: the experiment that its plan and its file describe, and the measurements of each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakedirty.campaign import run as runs
from fakedirty.campaign import run_measurements
from fakedirty.campaign.control_arm import ControlArm
from fakedirty.campaign.plan import PlannedRun
from fakedirty.campaign.run import RunContext, measure
from fakedirty.campaign.run_measurements import RunMeasurements, RunResult, peak_bytes
from fakedirty.campaign.spec import parse
from fakedirty.campaign.thread_time import MIGRATION, VCPUS
from fakedirty.campaign.workloads.throughput import DESTINATION, SOURCE, Meter, ThroughputSample
from fakedirty.lab.experiment import Experiment
from fakedirty.lab.measurements import GuestPair
from fakedirty.lab.memory_compare import MemoryReport
from fakedirty.lab.migrate import MigrationResult, Settings
from fakedirty.model.enums import Level
from made_migrations import START, made, tell

FILE = parse("""\
name = "x"
time_limit_seconds = 9
ready_limit_seconds = 11
downtime_limit_ms = 70
level = "stock"
[factors]
workload = ["idle"]
treatment = ["vanilla", "vanilla-unobserved", "hybrid"]
[workloads.idle]
guest = "baremetal"
[[toggles]]
at = 2
mode = "skip"
hash = "sha1"
treatments = ["hybrid"]
repetitions = [1]
""")


def planned(treatment: str, repetition: int = 1) -> PlannedRun:
    return PlannedRun("0001", 1, "idle", 64, treatment, 400, 2, repetition)


class Load:
    """A guest that writes a rate on each line."""

    service_file = "rates"
    memory_mib = 64

    def arguments(self, directory: Path) -> list[str]:
        return []

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """It is at work."""

    def meter(self) -> Meter:
        return lambda line: ThroughputSample(float(line))

    def facts(self) -> dict[str, object]:
        return {"guest": "of lines"}


class Monitor:
    """Notes commands, and has events once."""

    def __init__(self, *events: dict[str, object]) -> None:
        self.commands: list[str] = []
        self.events = list(events)

    def execute(self, command: str, arguments: object = None) -> dict[str, Any]:
        self.commands.append(command)
        return {}

    def drain_events(self) -> list[dict[str, object]]:
        events, self.events = self.events, []
        return events


def carried_out(
    monkeypatch: pytest.MonkeyPatch, treatment: str, repetition: int = 1, *, patched: bool = True
) -> tuple[Experiment, Callable[[Any], AbstractContextManager[Any]], RunResult]:
    """What a run gives to the laboratory."""
    given: list[Any] = []
    monkeypatch.setattr(runs, "carry_out", lambda *arguments: given.extend(arguments))
    workload = SimpleNamespace(load=lambda _memory_mib: Load())
    file = SimpleNamespace(spec=FILE.spec, workloads={"idle": workload})
    result = RunResult()
    measure(planned(treatment, repetition), RunContext(cast(Any, file), Path("qemu"), patched), [], result)
    experiment, observe, measurements = given
    assert isinstance(measurements, RunMeasurements)
    return experiment, observe, result


def test_an_experiment_follows_the_plan_and_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, _observe, _result = carried_out(monkeypatch, "vanilla")
    assert experiment == Experiment(
        vm="guest",
        qemu=Path("qemu"),
        load=experiment.load,
        level=Level.STOCK,
        settings=Settings(70),
        steps=[],
        time_limit=9,
        ready_limit=11,
        bits_per_second=400_000_000,
        vcpus=2,
    )


def test_a_qemu_without_the_patch_series_gets_odd_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [carried_out(monkeypatch, "vanilla", patched=patched)[0].odd_memory for patched in (True, False)] == [
        False,
        True,
    ]


def test_toggles_are_steps_beside_those_of_the_treatment(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, _observe, result = carried_out(monkeypatch, "hybrid")
    postcopy, toggle = experiment.steps
    assert (postcopy.after_round, toggle.after_round, toggle.after_seconds) == (2, None, 2.0)
    monitor = Monitor()
    toggle.act(cast(Any, monitor))
    assert monitor.commands == ["migrate-set-parameters"]
    [taken] = result.toggles
    assert (taken["at"], taken["mode"], taken["hash"]) == (2, "skip", "sha1")
    assert len(carried_out(monkeypatch, "hybrid", repetition=2)[0].steps) == 1


def test_a_control_arm_attaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[object] = []

    @contextmanager
    def observed(pid: int, level: Level, _sinks: object, *, qmp_path: Path) -> Iterator[None]:
        watched.append((pid, level, qmp_path))
        yield

    monkeypatch.setattr(runs, "observed", observed)
    source = SimpleNamespace(pid=7, observer_socket=Path("free"), qmp=Monitor())
    with carried_out(monkeypatch, "vanilla-unobserved", patched=False)[1](source) as observer:
        assert isinstance(observer, ControlArm)
        assert (observer.rounds, observer.migration()) == (0, None)
    assert watched == []
    with carried_out(monkeypatch, "vanilla")[1](source):
        assert watched == [(7, Level.STOCK, Path("free"))]


def event(name: str, microseconds: int, **data: object) -> dict[str, object]:
    return {"event": name, "timestamp": {"seconds": 1, "microseconds": microseconds}, "data": data}


def test_each_stage_of_a_run_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_measurements, "peak_bytes", lambda _pid: 5 << 20)
    monkeypatch.setattr(run_measurements, "read_parameters", lambda _qmp: {"downtime-limit": 70})
    result = RunResult()
    sides = {side: tmp_path / side for side in (SOURCE, DESTINATION)}
    for directory in sides.values():
        directory.mkdir()
    source = SimpleNamespace(
        pid=1 << 30,
        qmp=Monitor(event("STOP", 10_000)),
        end=SimpleNamespace(sent_bytes=lambda: 99),
        process=SimpleNamespace(args=["source"]),
    )
    destination = SimpleNamespace(qmp=Monitor(event("OLD", 0)), process=SimpleNamespace(args=["destination"]))
    pair = GuestPair(cast(Any, source), cast(Any, destination), sides[SOURCE], sides[DESTINATION])
    settings = Settings(70, capabilities={"multifd": True})
    experiment = Experiment("guest", Path("qemu"), Load(), Level.QMP, settings=settings)
    measurements = RunMeasurements(experiment, Load(), result, service_seconds=0.0)
    migration, outcome = tell(made(), []), MigrationResult("completed", True, 9.0, {}, {"status": "completed"})
    memory = MemoryReport((), ())
    with measurements.beside_machines(pair):
        (sides[SOURCE] / "rates").write_text("50\n")
        measurements.guest_at_work(pair)
        with measurements.beside_migration(pair):
            assert destination.qmp.events == [], "older events are dropped"
            assert result.started > 0
            destination.qmp.events = [event("MIGRATION", 52_000, status="completed")]
            measurements.measured(pair, 2)
        measurements.migrated(pair, outcome)
        measurements.observed(migration)
        measurements.compared(pair, memory)
        (sides[DESTINATION] / "rates").write_text("40\n")
    assert (result.outcome, result.migration, result.memory) == (outcome, migration, memory)
    assert result.started == START / 1e9
    assert result.ended > 0
    assert (result.link_bytes, result.host_bytes, result.rounds_at_end) == (99, 5 << 20, 2)
    assert result.measured_rounds == len(migration.rounds)
    assert result.thread_seconds == {MIGRATION: None, VCPUS: None}
    assert result.observed_downtime_ms == 42.0
    assert [(each.side, each.sample.operations_per_second) for each in result.samples] == [
        (SOURCE, 50.0),
        (DESTINATION, 40.0),
    ]
    assert destination.qmp.commands == ["cont"]
    assert result.facts == {
        "workload": {"guest": "of lines"},
        "command_lines": [["source"], ["destination"]],
        "parameters": {"downtime-limit": 70},
        "capabilities": {"multifd": True},
        "query_migrate": {"status": "completed"},
    }


def test_the_peak_memory_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tqemu\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n")
    assert peak_bytes(7, tmp_path) == 2 << 20
    assert peak_bytes(8, tmp_path) is None

"""One run of a campaign: a guest at work, migrated as its plan says, watched from all sides, its memory compared."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fakedirty.errors import LabError
from fakedirty.lab.machine import INCOMING, Machine, machine
from fakedirty.lab.memory_compare import MemoryReport
from fakedirty.lab.migrate import Outcome, Step, migrate
from fakedirty.lab.network import End, shaped_network
from fakedirty.lab.observation import ExperimentObserver, watched
from fakedirty.lab.testbed import compared
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.model.sink import Sink
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import read_parameters

from .control_arm import ControlArm, unwatched
from .observed_downtime import outside_downtime_ms
from .plan import PlannedRun
from .spec import CampaignFile, Toggle
from .supported import set_toggle
from .thread_time import MIGRATION, VCPUS, ThreadTimes, thread_times
from .treatments import ARMS
from .workloads.kinds import Load
from .workloads.throughput import DESTINATION, SOURCE, ThroughputReader, ThroughputSamples, followed

VM = "guest"
ARRIVAL_SECONDS = 60.0
#: what a QEMU without the series gets less: see lab.experiment.Experiment.odd_memory
ODD_KIB = 8


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the runs of a campaign have in common."""

    file: CampaignFile
    qemu: Path
    patched: bool


@dataclass(slots=True)
class RunResult:
    """What came of a run. Times are of the monotonic clock; what was not reached is None.

    `measured` figures are those at the end of the migration, or at the time limit if that came first.
    """

    started: float = 0.0
    ended: float = 0.0
    outcome: Outcome | None = None
    migration: Migration | None = None
    measured_rounds: int = 0
    link_bytes: int = 0
    thread_seconds: dict[str, float | None] = field(default_factory=dict)
    host_bytes: int | None = None
    outside_ms: float | None = None
    memory: MemoryReport | None = None
    heard: list[ThroughputSamples] = field(default_factory=list)
    toggles: list[dict[str, object]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


def measure(planned: PlannedRun, around: RunContext, sinks: Sequence[Sink], seen: RunResult) -> None:
    """Carry it out, and fill `seen` as far as it goes. Whatever it raises, no process or namespace is left behind."""
    spec = around.file.spec
    arm = ARMS[planned.treatment]
    load = around.file.workloads[planned.workload].load(planned.memory_mib)
    settings = arm.settings(planned.memory_mib, spec.downtime_limit_ms, audit=spec.audit)
    with ExitStack() as stack:
        logs = {
            side: Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fakedirty-")))
            for side in (SOURCE, DESTINATION)
        }
        network = stack.enter_context(shaped_network(planned.mbit * 1_000_000))
        start = partial(_machine, planned, around, load)
        source = stack.enter_context(start(end=network.source, directory=logs[SOURCE]))
        destination = stack.enter_context(start(end=network.destination, directory=logs[DESTINATION], more=INCOMING))
        followers = [ThroughputReader(side, logs[side] / load.service_file, load.meter()) for side in logs]
        stack.enter_context(followed(followers))
        load.wait(logs[SOURCE], spec.ready_limit_seconds, source.check_alive)
        time.sleep(spec.service_seconds)
        watch = stack.enter_context(_watching(arm.observed, source, around, sinks))
        destination.qmp.drain_events()
        with thread_times(source.pid) as threads:
            look = partial(_look, seen, source, network.source, watch, threads)
            seen.started = time.monotonic()
            outcome = migrate(
                source,
                destination,
                settings,
                time_limit=spec.time_limit_seconds,
                steps=[*arm.treatment.steps, *_steps(planned, spec.toggles, seen)],
                at_limit=look,
            )
            if outcome.converged:
                look()
        seen.outcome = outcome
        seen.facts = {
            "workload": load.facts(),
            "command_lines": [side.process.args for side in (source, destination)],
            "parameters": read_parameters(source.qmp),
            "capabilities": dict(settings.capabilities),
            "query_migrate": outcome.final,
        }
        if outcome.status == "completed":
            _await_all(destination)
            seen.outside_ms = outside_downtime_ms(source.qmp.drain_events(), destination.qmp.drain_events())
        seen.migration = watch.migration()
        if seen.migration is not None:
            seen.started = seen.migration.start_ns / 1e9
        if outcome.status == "completed":
            seen.memory = compared(source, destination)
            destination.qmp.execute("cont")
            time.sleep(spec.service_seconds)
        seen.heard = [heard for follower in followers for heard in follower.heard]


def _machine(
    planned: PlannedRun, around: RunContext, load: Load, *, end: End, directory: Path, more: Sequence[str] = ()
) -> AbstractContextManager[Machine]:
    arguments = [*load.arguments(directory), "-smp", str(planned.vcpus)]
    if not around.patched:
        arguments += ["-m", f"{planned.memory_mib * 1024 - ODD_KIB}k"]  # the last -m counts
    return machine(VM, around.qemu, [*arguments, *more], accelerator=around.file.spec.accelerator, end=end)


def _watching(
    observed: bool, source: Machine, around: RunContext, sinks: Sequence[Sink]
) -> AbstractContextManager[ExperimentObserver | ControlArm]:
    if not observed:
        return unwatched(source, sinks, patched=around.patched)
    level = Level(Level.parse(around.file.spec.level))
    return watched(source.pid, level, sinks, qmp_path=source.observer_socket)


def _steps(planned: PlannedRun, toggles: Sequence[Toggle], seen: RunResult) -> list[Step]:
    """The toggles that this run has, and a note of each that was taken."""
    own = [toggle for toggle in toggles if toggle.applies(planned.treatment, planned.repetition)]

    def act(toggle: Toggle, qmp: Qmp) -> None:
        set_toggle(qmp, toggle)
        seconds = time.monotonic() - seen.started
        seen.toggles.append({"at": toggle.at, "mode": toggle.mode, "hash": toggle.hash, "seconds": seconds})

    return [Step(partial(act, each), each.after_round, each.after_seconds) for each in own]


def _look(
    seen: RunResult, source: Machine, end: End, watch: ExperimentObserver | ControlArm, threads: ThreadTimes
) -> None:
    """At the end, or at the limit: what is counted outside QEMU."""
    threads.look()
    seen.ended = time.monotonic()
    seen.thread_seconds = {does: threads.seconds(does) for does in (MIGRATION, VCPUS)}
    seen.link_bytes = end.sent_bytes()
    seen.measured_rounds = watch.rounds
    seen.host_bytes = peak_bytes(source.pid)


def _await_all(destination: Machine) -> None:
    """Until the destination has everything: after postcopy it runs before that."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while (info := _status(destination.qmp)).get("status") not in ("completed", None):
        destination.check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"the destination is still {info['status']}, {ARRIVAL_SECONDS:g} s after the source")
        time.sleep(0.02)


def _status(qmp: Qmp) -> Mapping[str, Any]:
    info: Mapping[str, Any] = qmp.execute("query-migrate")
    return info


def peak_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """The largest resident memory of a process so far; None where it has ended."""
    try:
        status = (proc / str(pid) / "status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return None

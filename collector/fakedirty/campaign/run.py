"""One run of a campaign: an experiment of the laboratory, as the plan and the campaign file describe it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fakedirty.lab.experiment import Experiment, carry_out
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import Step
from fakedirty.lab.observation import Observation, observed
from fakedirty.model.enums import Level
from fakedirty.model.sink import Sink
from fakedirty.qmp.client import Qmp

from .control_arm import ControlArm
from .plan import PlannedRun
from .run_measurements import RunMeasurements, RunResult
from .spec import CampaignFile, Toggle
from .supported import set_toggle
from .treatments import ARMS

VM = "guest"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the runs of a campaign have in common.

    Attributes:
        file: the campaign file.
        qemu: the binary of both sides.
        patched: whether QEMU has the patch series.
    """

    file: CampaignFile
    qemu: Path
    patched: bool


def measure(planned: PlannedRun, context: RunContext, sinks: Sequence[Sink], result: RunResult) -> None:
    """Make a run.

    Args:
        planned: which run.
        context: what it has in common with the others.
        sinks: get the migration.
        result: is filled as far as the run comes, also if it fails.

    Raises:
        FakedirtyError: the run failed. No process, namespace, probe or file is left behind.
    """
    spec = context.file.spec
    arm = ARMS[planned.treatment]
    load = context.file.workloads[planned.workload].load(planned.memory_mib)
    experiment = Experiment(
        vm=VM,
        qemu=context.qemu,
        load=load,
        level=Level(Level.parse(spec.level)),
        settings=arm.settings(planned.memory_mib, spec.downtime_limit_ms, audit=spec.audit),
        steps=[*arm.treatment.steps, *_steps(planned, spec.toggles, result)],
        time_limit=spec.time_limit_seconds,
        ready_limit=spec.ready_limit_seconds,
        bits_per_second=planned.mbit * 1_000_000,
        accelerator=spec.accelerator,
        vcpus=planned.vcpus,
        odd_memory=not context.patched,
    )

    def observe(source: Machine) -> AbstractContextManager[Observation]:
        if not arm.observed:
            return nullcontext(ControlArm(source, sinks, patched=context.patched))
        return observed(source.pid, experiment.level, sinks, qmp_path=source.observer_socket)

    carry_out(experiment, observe, RunMeasurements(experiment, load, result, service_seconds=spec.service_seconds))


def _steps(planned: PlannedRun, toggles: Sequence[Toggle], result: RunResult) -> list[Step]:
    """The toggles of this run as steps; each that is taken is added to the result."""
    own = [toggle for toggle in toggles if toggle.applies(planned.treatment, planned.repetition)]

    def act(toggle: Toggle, qmp: Qmp) -> None:
        set_toggle(qmp, toggle)
        seconds = time.monotonic() - result.started
        result.toggles.append({"at": toggle.at, "mode": toggle.mode, "hash": toggle.hash, "seconds": seconds})

    return [Step(partial(act, each), each.after_round, each.after_seconds) for each in own]

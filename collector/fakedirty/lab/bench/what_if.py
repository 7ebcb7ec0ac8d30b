"""The benchmark of ``what-if``: one migration is recorded, others are predicted from it, and carried out.

The recorded migration runs with the mode off, over 1 Gbit/s, and is observed at level `stock`, with page records. It is
let through at the time limit, as most mixes do not converge so.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.lab.experiment import Experiment, run_experiment
from fakedirty.lab.guest_load import GroundTruthLoad
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.migrate import Settings
from fakedirty.model.enums import Level, Mode
from fakedirty.record.load import load
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore
from fakedirty.whatif.page_costs import costs_of
from fakedirty.whatif.prediction import what_if
from fakedirty.whatif.variants import Choices

from .convergence import Mix
from .forecasts import MIXES


@dataclass(frozen=True, slots=True)
class WhatIfArm:
    """Settings of a migration; `mbit` is the rate of the link."""

    name: str
    mbit: int
    mode: Mode
    limit_ms: int


RECORDED = WhatIfArm("recorded", 1000, Mode.OFF, 300)

#: Chosen before any was measured: another mode, another link, a shorter and a longer limit.
PREDICTED = (
    WhatIfArm("skip", 1000, Mode.SKIP, 300),
    WhatIfArm("skip, 400 Mbit/s", 400, Mode.SKIP, 300),
    WhatIfArm("skip, 100 ms", 1000, Mode.SKIP, 100),
    WhatIfArm("off, 3 s", 1000, Mode.OFF, 3000),
)
ARMS = (RECORDED, *PREDICTED)


@dataclass(frozen=True, slots=True)
class WhatIfJob:
    """One migration. Its fields together identify it."""

    repetition: int
    mix: str
    arm: str


@dataclass(frozen=True, slots=True)
class WhatIfRun:
    """The result of a job.

    Attributes:
        converged: it ended by itself within the time limit.
        total_seconds: total time; None if it did not converge.
        downtime_seconds: downtime; None if it did not converge.
        memory_equal: all pages arrived as they were.
        predicted: by arm the total time that was predicted from this run, in seconds: low, expected, and high or None.
            None where no end was predicted. Empty unless the run is the recorded one.
    """

    job: WhatIfJob
    converged: bool
    total_seconds: float | None
    downtime_seconds: float | None
    memory_equal: bool
    predicted: dict[str, list[float | None] | None] = field(default_factory=dict)


def what_if_jobs(repetitions: int, seed: int, mixes: Sequence[Mix] = MIXES) -> Iterator[WhatIfJob]:
    """In each repetition every mix and arm once, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        jobs = [WhatIfJob(repetition, mix.name, arm.name) for mix in mixes for arm in ARMS]
        chance.shuffle(jobs)
        yield from jobs


def measure_what_if(job: WhatIfJob, qemu: Path, guest: BuiltGuest, *, time_limit: float) -> WhatIfRun:
    """Boot the guest, migrate it once, compare its memory, and predict from it if it is recorded.

    Args:
        job: the migration.
        qemu: the binary of both sides.
        guest: the built guest.
        time_limit: seconds, after which it is let through.
    """
    [mix] = [each for each in MIXES if each.name == job.mix]
    [arm] = [each for each in ARMS if each.name == job.arm]
    recorded = arm is RECORDED
    with tempfile.TemporaryDirectory(prefix="fakedirty-what-if-") as directory:
        result = run_experiment(
            Experiment(
                "what-if",
                qemu,
                GroundTruthLoad(guest, mix.workload),
                Level.STOCK if arm.mode is Mode.OFF else Level.PATCHED,
                arm.mode,
                Settings(arm.limit_ms),
                time_limit=time_limit,
                bits_per_second=arm.mbit * 1_000_000,
                pages=recorded,
            ),
            [Recorder(Path(directory), "what-if")] if recorded else [],
        )
        predicted = predict_arms(Path(directory)) if recorded else {}
    outcome = result.outcome
    converged = outcome.converged and outcome.status == "completed"
    return WhatIfRun(
        job,
        converged,
        outcome.measured["total-time"] / 1e3 if converged else None,
        outcome.measured["downtime"] / 1e3 if converged else None,
        result.memory is not None and result.memory.equal,
        predicted,
    )


def predict_arms(directory: Path) -> dict[str, list[float | None] | None]:
    """The total time of each arm by the recording below a directory, as :attr:`WhatIfRun.predicted` has it.

    The link of an arm carries the bytes of the recorded one, in proportion to their rates.
    """
    [recording] = load(directory).directories
    rate = costs_of(restore(recording)).rate.expected
    predicted: dict[str, list[float | None] | None] = {}
    for arm in PREDICTED:
        choices = Choices([rate * arm.mbit / RECORDED.mbit], [arm.limit_ms / 1e3], [arm.mode is Mode.SKIP])
        [found] = what_if(recording, choices).variants
        total = found.total_seconds
        predicted[arm.name] = None if total is None else [total.low, total.expected, total.high]
    return predicted

"""The benchmark of forecasts: each is frozen after round 2, and compared with the end of the migration.

Each migration is observed from the start. One plan leaves it so; the other one switches skip on after round 2. What the
forecast recommends is frozen after round 5, where a stall can be known, of the migration that is left as it is. Further
runs check it, for both plans.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fakedirty.lab.experiment import Experiment, Result, run_experiment
from fakedirty.lab.guest_load import GroundTruthLoad
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step
from fakedirty.model.enums import Level, Mode
from fakedirty.model.events import Event, RoundEnded
from fakedirty.model.forecast import Estimate, Forecast, Prediction
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.qmp.mode import set_mode
from fakedirty.record.rows import round_row

from .convergence import DOWNTIME_LIMIT_MS, Mix
from .recommendation_checks import (
    BANDWIDTH,
    FAST_LINK,
    Change,
    Needs,
    changed_settings,
    changes,
    needs_of,
    reached_bandwidth,
    time_of,
)
from .time_left import time_left_rows

FROZEN_AFTER, RECOMMENDED_AFTER = 2, 5  # rounds
AS_IS, SKIP = "as-is", "skip"
PLANS = (AS_IS, SKIP)
LINKS = (1000, 400)  # Mbit/s
CHECKED_LINK = LINKS[0]  # of the bases whose recommendations are checked

#: Chosen before any was measured: mixes that are mostly silent, mostly changed, near the limit, or slow.
MIXES = (
    Mix("60k/5k", Workload(fake=60_000, changed=5_000)),
    Mix("60k/500", Workload(fake=60_000, changed=500)),
    Mix("20k/20k", Workload(fake=20_000, changed=20_000)),
    Mix("30k/8k", Workload(fake=30_000, changed=8_000)),
    Mix("40k/12k", Workload(fake=40_000, changed=12_000)),
    Mix("10k/5k", Workload(fake=10_000, changed=5_000)),
    Mix("0/20k", Workload(changed=20_000)),
    Mix("30k/10k, every 3 s", Workload(fake=30_000, changed=10_000, pause_ms=3_000)),
    Mix("phases", Workload(phased=40_000, changed=500)),
)


@dataclass(frozen=True, slots=True)
class ForecastJob:
    """One migration. Its fields together identify it.

    A base has no `change`. A check has the bandwidth or the limit that its base recommends for the plan of the check,
    times `factor`.
    """

    repetition: int
    mix: str
    mbit: int
    plan: str
    change: str = ""
    factor: float = 1.0

    @property
    def base(self) -> ForecastJob:
        """The job whose recommendation it checks: the migration that is left as it is."""
        return replace(self, plan=AS_IS, change="", factor=1.0)


@dataclass(frozen=True, slots=True)
class CheckedForecast:
    """The forecast of a job, and its real end. Times are in seconds, and None if there was no end.

    If `judged` is false there was no forecast: the migration ended before round 2 did, or nothing was run.

    Attributes:
        memory_equal: None if nothing was run: the base of a check recommends nothing, or it would take too long.
        needs: what the forecast recommends: the members of `Needs`, by plan.
        value: the bandwidth or the limit that a check had.
        reached_bandwidth: bytes a second of the fastest round.
        times_left: rows of `TimeLeft`.
        rounds: rows of rounds.csv, so that another model can be tried on the same migrations.
    """

    job: ForecastJob
    judged: bool
    predicted: bool
    certain: bool
    total_low: float | None
    total_expected: float | None
    total_high: float | None
    downtime_expected: float | None
    converged: bool
    total_seconds: float | None
    downtime_seconds: float | None
    memory_equal: bool | None
    needs: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    value: float | None = None
    reached_bandwidth: float | None = None
    times_left: Sequence[Mapping[str, Any]] = field(default_factory=list)
    rounds: Sequence[Mapping[str, Any]] = field(default_factory=list)


class FrozenForecast:
    """The sink that keeps the forecast after a number of rounds."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.forecast: Forecast | None = None

    def started(self, migration: Migration) -> None:
        """Nothing yet."""

    def changed(self, migration: Migration, event: Event) -> None:
        """Keep the forecast when that round has ended."""
        due = isinstance(event, RoundEnded) and event.round.round == self._after
        if due and (found := migration.forecast) is not None and found.after_round == self._after:
            self.forecast = found

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing."""

    def ended(self, migration: Migration) -> None:
        """Nothing."""

    def prediction(self, plan: str) -> Prediction | None:
        """That of a plan."""
        if self.forecast is None:
            return None
        return self.forecast.with_skip if plan == SKIP else self.forecast.as_is


def forecast_jobs(repetitions: int, seed: int, mixes: Sequence[Mix] = MIXES) -> Iterator[ForecastJob]:
    """In each repetition every mix, link and plan once, then the checks of one link, in orders drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        jobs = [ForecastJob(repetition, mix.name, mbit, plan) for mix in mixes for mbit in LINKS for plan in PLANS]
        bases = [job for job in jobs if job.mbit == CHECKED_LINK]
        chance.shuffle(jobs)
        yield from jobs
        for number, drawn in changes(chance, len(bases)):
            yield replace(bases[number], change=drawn.change, factor=drawn.factor)


def measure_forecast(
    job: ForecastJob, base: CheckedForecast | None, qemu: Path, guest: BuiltGuest, *, time_limit: float
) -> CheckedForecast:
    """Boot the guest, migrate it by the plan of the job, and compare its memory.

    Args:
        job: what is run.
        base: the run whose recommendation a check takes; None for a base.
        qemu: the binary of both sides.
        guest: the built guest.
        time_limit: seconds, after which the migration is let through.
    """
    settings, bits, value = Settings(DOWNTIME_LIMIT_MS), job.mbit * 1_000_000, None
    if job.change:
        change = Change(job.change, job.factor)
        value = Needs(**base.needs.get(job.plan, {})).value(change) if base else None
        time_of_run = None if value is None else time_of(change, value, bits / 8, time_limit)
        if value is None or time_of_run is None:
            return nothing_run(job, value)
        time_limit = time_of_run
        settings = changed_settings(settings, change, value)
        bits = FAST_LINK if job.change == BANDWIDTH else bits
    [mix] = [each for each in MIXES if each.name == job.mix]
    skip = [Step(lambda qmp: set_mode(qmp, Mode.SKIP), after_round=FROZEN_AFTER)]
    frozen, later = FrozenForecast(FROZEN_AFTER), FrozenForecast(RECOMMENDED_AFTER)
    result = run_experiment(
        Experiment(
            "verdict",
            qemu,
            GroundTruthLoad(guest, mix.workload),
            Level.PATCHED,
            Mode.OBSERVE,
            settings,
            skip if job.plan == SKIP else (),
            time_limit=time_limit,
            bits_per_second=bits,
        ),
        [frozen, later],
    )
    needs = {plan: asdict(needs_of(later.forecast, plan == SKIP)) for plan in PLANS if job.base == job}
    return _checked(job, result, frozen, needs, value)


def nothing_run(job: ForecastJob, value: float | None = None) -> CheckedForecast:
    """A check of which nothing was run: there is no value, or with that the run would take too long."""
    return CheckedForecast(
        job,
        judged=False,
        predicted=False,
        certain=False,
        total_low=None,
        total_expected=None,
        total_high=None,
        downtime_expected=None,
        converged=False,
        total_seconds=None,
        downtime_seconds=None,
        memory_equal=None,
        value=value,
    )


def _checked(
    job: ForecastJob,
    result: Result,
    frozen: FrozenForecast,
    needs: Mapping[str, Mapping[str, float | None]],
    value: float | None,
) -> CheckedForecast:
    outcome, prediction = result.outcome, frozen.prediction(job.plan)
    total = prediction.total_seconds if prediction else None
    converged = outcome.converged and outcome.status == "completed"
    return CheckedForecast(
        job,
        judged=prediction is not None,
        predicted=prediction is not None and prediction.converges,
        certain=prediction is not None and prediction.certain,
        total_low=total.low if total else None,
        total_expected=total.expected if total else None,
        total_high=total.high if total else None,
        downtime_expected=_expected(prediction.downtime_seconds if prediction else None),
        converged=converged,
        total_seconds=outcome.measured["total-time"] / 1e3 if converged else None,
        downtime_seconds=outcome.measured["downtime"] / 1e3 if converged else None,
        memory_equal=result.memory is not None and result.memory.equal,
        needs=needs,
        value=value,
        reached_bandwidth=reached_bandwidth(result.migration),
        times_left=time_left_rows(result.migration, outcome.measured["total-time"] / 1e3) if converged else [],
        rounds=[round_row("verdict", result.migration, r) for r in result.migration.rounds],
    )


def _expected(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.expected

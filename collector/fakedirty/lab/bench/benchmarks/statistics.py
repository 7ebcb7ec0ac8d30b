"""The statistics in the tables: medians with ranges, and paired differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Protocol

import numpy as np

RESAMPLES, RESAMPLE_SEED = 10_000, 1


class ArmJob(Protocol):
    """A job of a benchmark that measures every arm once in each repetition."""

    @property
    def repetition(self) -> int:
        """The number of the repetition."""

    @property
    def arm(self) -> str:
        """The name of the arm."""


class ArmRun(Protocol):
    """A run of such a job."""

    @property
    def job(self) -> ArmJob:
        """The job."""


def spread(values: Sequence[float], digits: int) -> str:
    """The median and, if there are several values, the range: ``2.85 (2.71-3.02)``; ``-`` without values."""
    if not values:
        return "-"
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low}-{high})"


def interval(differences: Sequence[float], form: str = "{:+.2%}") -> str:
    """The median of paired differences, and the interval with 95 % of the medians of resamples."""
    if not differences:
        return "-"
    values = np.array(differences)
    chosen = np.random.default_rng(RESAMPLE_SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[chosen], axis=1), (2.5, 97.5))
    return f"{form.format(np.median(values))} ({form.format(low)} to {form.format(high)})"


def paired_differences(runs: Sequence[ArmRun], base: str, other: str, field: str) -> list[float]:
    """For each repetition that has both arms, the difference of `other` to `base`, as a share of `base`.

    Args:
        runs: of a benchmark.
        base: the name of an arm.
        other: the name of another arm.
        field: of a run, whose values are compared.
    """
    values = {(run.job.repetition, run.job.arm): float(getattr(run, field)) for run in runs}
    repetitions = sorted({run.job.repetition for run in runs})
    pairs = [(values.get((number, base)), values.get((number, other))) for number in repetitions]
    return [(after - before) / before for before, after in pairs if before is not None and after is not None]

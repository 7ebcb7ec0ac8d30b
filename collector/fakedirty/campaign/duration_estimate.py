"""How long the runs of a campaign will take: at first a guess from their plan, then what earlier runs took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .plan import PlannedRun
from .spec import CampaignFile

SETTLE_SECONDS = 4.0  # starting and ending processes, and comparing memory
FULL_PASSES = 3  # of all memory: the guess for a migration, if its time limit allows that
MIB_BITS = 8 * (1 << 20)


def guessed_seconds(planned: PlannedRun, file: CampaignFile) -> float:
    """A guess for one run, in seconds, before anything was measured."""
    spec = file.spec
    one_pass = planned.memory_mib * MIB_BITS / (planned.mbit * 1e6)
    migration = min(spec.time_limit_seconds + one_pass, FULL_PASSES * one_pass)
    return file.workloads[planned.workload].boot_seconds + 2 * spec.service_seconds + migration + SETTLE_SECONDS


def expected_seconds(runs: Sequence[PlannedRun], file: CampaignFile, taken: Mapping[str, float]) -> dict[str, float]:
    """Estimate the runs that are not made yet.

    A run of which a repetition was made takes the mean of its repetitions. Any other takes its guess, times the ratio
    between what the runs so far took and what was guessed of them.

    Args:
        runs: all runs of the campaign.
        file: the campaign file.
        taken: seconds that each run took, by its name.

    Returns:
        Seconds by name, for every run that is not in `taken`.
    """
    by_run = {run.run: run for run in runs}
    guessed = {run.run: guessed_seconds(run, file) for run in runs}
    like: dict[tuple[object, ...], list[float]] = {}
    for name, seconds in taken.items():
        like.setdefault(_kind(by_run[name]), []).append(seconds)
    correction = sum(taken.values()) / sum(guessed[name] for name in taken) if taken else 1.0
    return {
        run.run: sum(of_kind) / len(of_kind) if (of_kind := like.get(_kind(run))) else guessed[run.run] * correction
        for run in runs
        if run.run not in taken
    }


def _kind(run: PlannedRun) -> tuple[object, ...]:
    """What a run has in common with its repetitions."""
    return run.workload, run.memory_mib, run.treatment, run.mbit, run.vcpus

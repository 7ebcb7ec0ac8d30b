"""How long runs will take: a guess from their plan at first, and soon what the ones before them took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .plan import PlannedRun
from .spec import CampaignFile

SETTLE_SECONDS = 4.0  # starting and ending processes, and comparing memory
FULL_PASSES = 3  # of all memory, that a migration is guessed to take where the time limit allows it
MIB_BITS = 8 * (1 << 20)


def guessed_seconds(planned: PlannedRun, file: CampaignFile) -> float:
    """Before anything was measured."""
    spec = file.spec
    one_pass = planned.memory_mib * MIB_BITS / (planned.mbit * 1e6)
    migration = min(spec.time_limit_seconds + one_pass, FULL_PASSES * one_pass)
    return file.workloads[planned.workload].boot_seconds + 2 * spec.service_seconds + migration + SETTLE_SECONDS


def expected_seconds(runs: Sequence[PlannedRun], file: CampaignFile, taken: Mapping[str, float]) -> dict[str, float]:
    """For each run that is not in `taken` (run: seconds): the mean of its like, or the guess, set right by the rest."""
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
    """What it has in common with its repetitions."""
    return run.workload, run.memory_mib, run.treatment, run.mbit, run.vcpus

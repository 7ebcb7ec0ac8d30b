"""The report of ``fakedirty demo`` on its runs: as text, as JSON, and as an exit status."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.experiment import Result
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.treatments import Treatment
from fakedirty.lab.truth import ClassScore, PageRecords, judge, switchover_rounds
from fakedirty.model.migration import Migration
from fakedirty.record.load import load

DONE, INVALID = 0, 3

LINUX_RIGHT_SHARE = 0.999  # a kernel may move or write a page that it has lent to the working set


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One run of the demo.

    Attributes:
        treatment: what was done about fake pages.
        result: what the experiment gave.
        directory: the recording.
        truth: how many visited pages have the right class; None without page records.
        exact: whether the guest writes nothing that it does not report.
    """

    treatment: Treatment
    result: Result
    directory: Path
    truth: ClassScore | None
    exact: bool

    @property
    def title(self) -> str:
        """The head of its column."""
        outcome = self.result.outcome
        return self.treatment.name + ("" if outcome.converged else f" ({outcome.time_limit_seconds:g} s)")

    @property
    def measured(self) -> Migration:
        """The migration as it was when it was measured: at its end, or at the time limit."""
        migration, outcome = self.result.migration, self.result.outcome
        if outcome.converged:
            return migration
        rounds = migration.rounds[: self.result.measured_rounds]
        return dataclasses.replace(migration, state="active", rounds=rounds, report=outcome.measured)

    @property
    def equal(self) -> bool:
        """Whether memory was compared and is equal."""
        return self.result.memory is not None and self.result.memory.equal

    @property
    def memory(self) -> str:
        """The result of the comparison of memory, as text."""
        if self.result.memory is None:
            return f"NO MEMORY TO COMPARE: the migration is {self.result.outcome.status}"
        return str(self.result.memory)


def compare_with_truth(directory: Path, report: GuestReport) -> ClassScore | None:
    """Compare the recorded pages of a migration with the page sets of its guest.

    Args:
        directory: the recording.
        report: the guest's own report.

    Returns:
        None if no pages were recorded.
    """
    recording = load(directory)
    records = PageRecords.of_frame(recording.pages)
    if not len(records):
        return None
    sweep = report.longest_sweep_seconds
    assert sweep is not None, "an experiment begins when the guest sweeps"
    return judge(report.sets, records, sweep_seconds=sweep, switchover=switchover_rounds(recording.rounds))


def convergence(run: DemoRun) -> str:
    """A line about the end of the migration: by itself, or not."""
    outcome = run.result.outcome
    if outcome.converged:
        return f"it converged: {outcome.status} after {outcome.final['total-time'] / 1000:.2f} s"
    return (
        f"it did NOT converge within {outcome.time_limit_seconds:g} s; it was then let through with a downtime of "
        f"{outcome.final.get('downtime', 0) / 1000:.2f} s, to compare its memory"
    )


def next_steps(runs: Sequence[DemoRun], out: Path) -> list[str]:
    """Lines about what a reader can do next."""
    return [
        *(f"recorded: {run.directory}  (rounds.csv, migration.json, experiment.json)" for run in runs),
        f"read it:  {sys.executable} -c \"import fakedirty; print(fakedirty.load('{out}').rounds)\"",
        "the same for any QEMU that runs here: fakedirty doctor; fakedirty observe --help",
    ]


def summary(run: DemoRun) -> Mapping[str, object]:
    """A run for JSON. If the migration did not converge, its figures are those at the time limit."""
    outcome, measured, memory = run.result.outcome, run.measured, run.result.memory
    return {
        "treatment": run.treatment.name,
        "converged": outcome.converged,
        "status": outcome.status,
        "time_limit_seconds": outcome.time_limit_seconds,
        "total_time_ms": measured.reported("total-time"),
        "downtime_ms": measured.reported("downtime"),
        "transferred_bytes": measured.reported("ram", "transferred"),
        "link_bytes": run.result.link_bytes,
        "saved_bytes": measured.total("saved_bytes"),
        "rounds": len(measured.rounds),
        "valid": run.result.migration.valid,
        "memory": memory and {"equal": memory.equal, "pages": memory.pages, "differing": len(memory.differing)},
        "truth": run.truth and {"judged_visits": run.truth.judged, "wrong_visits": run.truth.wrong},
        "guest_sweeps_per_second": run.result.report.sweeps_per_second,
        "directory": str(run.directory),
    }


def details(run: DemoRun) -> Mapping[str, object]:
    """The content of ``experiment.json``, beside the recording: the guest's report and every RAM block."""
    memory = run.result.memory
    return {
        **summary(run),
        "at_time_limit": dict(run.result.outcome.measured),
        "ram_blocks": [dataclasses.asdict(block) for block in memory.blocks] if memory else [],
        "differing_pages": [dataclasses.asdict(page) for page in memory.differing] if memory else [],
        "guest_sets": {name: [str(frames) for frames in ranges] for name, ranges in run.result.report.ranges.items()},
    }


def failure(runs: Sequence[DemoRun]) -> str:
    """The failures of the runs, as text; empty if there are none."""
    wrong = [f"{run.treatment.name}: {run.memory}" for run in runs if not run.equal]
    wrong += [
        f"{run.treatment.name}: pages are misclassified: {run.truth}"
        for run in runs
        if run.truth and (run.truth.right_share or 0) < (1 if run.exact else LINUX_RIGHT_SHARE)
    ]
    wrong += [
        f"{run.treatment.name}: {convergence(run)}"
        for run in runs
        if run.treatment.converges and not run.result.outcome.converged
    ]
    return "; ".join(wrong)


def status(runs: Sequence[DemoRun]) -> int:
    """The exit status of runs in which nothing failed.

    If a migration is cancelled at its time limit, QEMU has no totals, and only its rounds can be judged.
    """
    return DONE if all(run.result.migration.valid is not False for run in runs) else INVALID

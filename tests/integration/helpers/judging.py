"""A migration with page records, and the judgement of the records by what the guest knows of its pages."""

from __future__ import annotations

from pathlib import Path

from fakedirty.lab.experiment import Experiment, Result, run_experiment
from fakedirty.lab.truth import ClassScore, PageRecords, judge, switchover_rounds
from fakedirty.record.load import Recording, load
from fakedirty.record.recorder import Recorder


def judged(experiment: Experiment, out: Path) -> tuple[Result, Recording, ClassScore]:
    """Run it: memory is equal, every round valid, every visit on record, and every page of the sets visited."""
    recorder = Recorder(out, "truth")
    result = run_experiment(experiment, [recorder])
    assert result.outcome.status == "completed"
    assert result.memory is not None
    assert result.memory.equal, str(result.memory)
    assert result.migration.valid, [each.invalid_reason for each in result.migration.rounds]
    recording = load(recorder.directories[-1])
    assert len(recording.pages) == result.migration.total("visited_pages")
    assert result.report.longest_sweep_seconds is not None
    verdict = judge(
        result.report.sets,
        PageRecords.of_frame(recording.pages),
        sweep_seconds=result.report.longest_sweep_seconds,
        switchover=switchover_rounds(recording.rounds),
    )
    print(
        f"{experiment.vm} under {experiment.accelerator}, level {experiment.level}, {experiment.qemu.name}, "
        f"{experiment.settings.parameters}: {len(result.migration.rounds)} rounds, {verdict}"
    )
    assert not any(each.unvisited for each in verdict.sets.values())
    return result, recording, verdict

"""The benchmarks of scaling and of the step: their ratios and tables, and the program of the step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from benchmark_tables import shown
from fakedirty.errors import LabError
from fakedirty.lab.bench.benchmarks.scaling import RATIOS, scaling_line, scaling_tables
from fakedirty.lab.bench.benchmarks.step_speed import step_line, step_tables
from fakedirty.lab.bench.scaling import ARMS, ScalingJob, ScalingRun, most_speedup, scaling_jobs
from fakedirty.lab.bench.step_speed import PROGRAM, StepJob, StepSpeed, measure_step, step_jobs


def run_of(arm: str, repetition: int, path_ns: float, main_ns: float, channel_ns: float) -> ScalingRun:
    return ScalingRun(ScalingJob(repetition, arm), path_ns, main_ns, channel_ns, hash_ns=100.0, pages=500_000)


def test_two_channels_are_compared_with_the_most_that_two_cores_allow() -> None:
    assert most_speedup(150, 50) == 1.5
    assert Counter(scaling_jobs(2, 1)) == Counter(ScalingJob(n, name) for n in (1, 2) for name in ARMS)
    runs = [
        run
        for number in (1, 2, 3)
        for run in (
            run_of("no multifd", number, 200, 200, 0),
            run_of("1 channel", number, 150, 50, 150),
            run_of("2 channels", number, 107.142857, 50, 159),
        )
    ]
    lines = shown(scaling_tables([*runs, run_of("1 channel", 4, 1, 1, 1)]))
    rows = [next(line for line in lines if f"│ {words} " in line) for words in RATIOS]
    assert [row.split("│")[3].split()[0] for row in rows] == ["1.40", "1.50", "0.93", "1.06", "1.00", "1.00", "1.04"]
    assert all(" 3 " in row for row in rows), "the fourth repetition has not all arms"
    assert "150 ns a page" in scaling_line(runs[1])


def test_the_step_is_read_from_the_program_beside_qemu(tmp_path: Path) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    with pytest.raises(LabError, match="there is no benchmark-fake-dirty-step beside"):
        measure_step(StepJob(1), qemu)
    program = tmp_path / PROGRAM
    output = "# step, 1 thread: 170.0 ns per page\\nok 1\\n# step, 2 threads: 100.0 ns per page\\nok 2\\n"
    program.write_text(f"#!/bin/sh\nprintf '{output}'\n")
    program.chmod(0o755)
    run = measure_step(StepJob(1), qemu)
    assert (run.one_ns, run.two_ns, run.speedup) == (170.0, 100.0, 1.7)
    assert "1.70 times as fast" in step_line(run)
    assert any(" 1.70 (1.70-1.70) " in line for line in shown(step_tables([run, StepSpeed(StepJob(2), 17.0, 10.0)])))
    assert list(step_jobs(2)) == [StepJob(1), StepJob(2)]
    program.write_text("#!/bin/sh\nprintf '# step, 1 thread: 170.0 ns per page\\n'\nexit 1\n")
    with pytest.raises(LabError, match="exit status 1"):
        measure_step(StepJob(1), qemu)

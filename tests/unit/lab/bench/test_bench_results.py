"""Stored results: an interrupted benchmark continues, and rows of earlier versions are read."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fakedirty.cli.main import main
from fakedirty.lab.bench.benchmarks import catalogue
from fakedirty.lab.bench.benchmarks.benchmark import Benchmark, BenchmarkOptions
from fakedirty.lab.bench.benchmarks.cost import cost_line, cost_tables
from fakedirty.lab.bench.benchmarks.results import RUNS, Results, run_row
from fakedirty.lab.bench.convergence import ConvergenceJob, ConvergenceRun
from fakedirty.lab.bench.cost import ARMS, CostJob, CostRun, cost_jobs
from fakedirty.lab.bench.forecasts import CheckedForecast, ForecastJob
from fakedirty.lab.bench.hash_speed import HashJob, HashSpeed
from fakedirty.lab.bench.hybrid import HybridJob, HybridRun
from fakedirty.lab.bench.overhead import OverheadJob, OverheadRun
from fakedirty.lab.bench.scaling import ScalingJob, ScalingRun
from fakedirty.lab.bench.step_speed import StepJob, StepSpeed
from fakedirty.lab.bench.what_if import WhatIfJob, WhatIfRun

#: A row of each benchmark, as it has been stored since there is that benchmark, and what it is read as.
ROWS: tuple[tuple[str, type[Any], type[Any]], ...] = (
    (
        '{"repetition": 1, "mix": "60k/5k", "treatment": "skip", "converged": true, "total_seconds": 2.85, '
        '"downtime_ms": 42, "sent_bytes": 371000000, "rounds": 4, "bulk_bytes": 330000000, '
        '"sweeps_per_second": 30.0, "memory_equal": true, "bulk_pages": 94000, "codec_ratio": 2.8, '
        '"codec_bytes_per_second": 400000000.0}',
        ConvergenceRun,
        ConvergenceJob,
    ),
    (
        '{"repetition": 1, "mix": "60k/5k", "mbit": 400, "plan": "as-is", "change": "limit", "factor": 1.15, '
        '"judged": true, "predicted": false, "certain": true, "total_low": null, "total_expected": null, '
        '"total_high": null, "downtime_expected": null, "converged": false, "total_seconds": null, '
        '"downtime_seconds": null, "memory_equal": true, '
        '"needs": {"as-is": {"bandwidth": 887500000.0, "limit_seconds": 2.15}}, "value": 2.47, '
        '"reached_bandwidth": 118000000.0, '
        '"times_left": [{"share": 0.5, "outlook": "ends", "low": 1.0, "expected": 2.0, "high": null, "left": 2.5, '
        '"ratio": 0.5, "total": 5.0}], "rounds": [{"round": 1, "kind": "bulk", "dirty_pages": 131072}]}',
        CheckedForecast,
        ForecastJob,
    ),
    (
        '{"repetition": 1, "arm": "skip, sweeps", "total_seconds": 3.0, "downtime_ms": 20, "blackout_ms": 31.0, '
        '"rounds": 3, "left_pages": null, "requests": 90, "postcopy_bytes": 10000000, "swept_pages": 50000, '
        '"memory_right": true}',
        HybridRun,
        HybridJob,
    ),
    (
        '{"repetition": 1, "arm": "skip, 2 channels", "pass_seconds": 1.0, "thread_seconds": 0.5, "pages": 524288, '
        '"channel_seconds": 0.25}',
        CostRun,
        CostJob,
    ),
    (
        '{"repetition": 1, "arm": "beside usdt", "turn": 1, "time_share": 0.01, "thread_share": 0.01, "added_ns": 5.0, '
        '"pass_seconds": 1.01, "base_pass_seconds": 1.0, "pages": 524288, "collector_seconds": 0.25, '
        '"collector_bytes": 100000000, "grown_bytes": 1000000, "lost_events": 0}',
        OverheadRun,
        OverheadJob,
    ),
    ('{"repetition": 1, "ns_per_page": {"read": 42.0, "xxh3-64": 57.0}}', HashSpeed, HashJob),
    ('{"repetition": 1, "one_ns": 170.0, "two_ns": 100.0}', StepSpeed, StepJob),
    (
        '{"repetition": 1, "mix": "60k/5k", "arm": "recorded", "converged": false, "total_seconds": null, '
        '"downtime_seconds": null, "memory_equal": true, "predicted": {"skip": [3.5, 4.0, null], "off, 3 s": null}}',
        WhatIfRun,
        WhatIfJob,
    ),
    (
        '{"repetition": 1, "arm": "2 channels", "path_ns": 107.0, "main_ns": 50.0, "channel_ns": 159.0, '
        '"hash_ns": 100.0, "pages": 500000}',
        ScalingRun,
        ScalingJob,
    ),
)


@pytest.mark.parametrize(("row", "run_type", "job_type"), ROWS, ids=[run_type.__name__ for _, run_type, _ in ROWS])
def test_a_stored_row_is_read_and_written_the_same(
    row: str, run_type: type[Any], job_type: type[Any], tmp_path: Path
) -> None:
    (tmp_path / RUNS).write_text(f"{row}\n")
    [(job, run)] = Results(tmp_path, {}, {}, run_type, job_type).runs.items()
    assert run.job == job
    assert json.dumps(run_row(run)) == row


def test_a_row_from_before_there_was_compression_is_read(tmp_path: Path) -> None:
    row = ROWS[0][0].split(', "bulk_pages"')[0] + "}"
    (tmp_path / RUNS).write_text(f"{row}\n")
    [run] = Results(tmp_path, {}, {}, ConvergenceRun, ConvergenceJob).runs.values()
    assert (run.bulk_pages, run.codec_ratio, run.codec_bytes_per_second) == (None, None, None)


def test_a_row_from_before_recommendations_were_checked_is_read(tmp_path: Path) -> None:
    row = {
        name: value
        for name, value in json.loads(ROWS[1][0]).items()
        if name not in ("change", "factor", "needs", "value", "reached_bandwidth")
    }
    (tmp_path / RUNS).write_text(f"{json.dumps(row)}\n")
    [(job, run)] = Results(tmp_path, {}, {}, CheckedForecast, ForecastJob).runs.items()
    assert job == run.job == ForecastJob(1, "60k/5k", 400, "as-is")
    assert (run.needs, run.value) == ({}, None)


def test_an_added_run_is_read_again(tmp_path: Path) -> None:
    run = CostRun(CostJob(1, "off"), 1.0, 0.5, pages=1_000_000)
    Results(tmp_path, {}, {}, CostRun, CostJob).add(run.job, run)
    assert Results(tmp_path, {}, {}, CostRun, CostJob).runs == {run.job: run}


def test_a_benchmark_continues_only_with_equal_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[CostJob] = []

    def benchmark(options: BenchmarkOptions) -> Benchmark:
        def measure(job: CostJob) -> CostRun:
            measured.append(job)
            return CostRun(job, 1.0, 0.5, pages=1_000_000)

        jobs, settings = list(cost_jobs(options.repetitions, options.seed)), {"seed": options.seed}
        return Benchmark(
            settings, jobs, lambda: nullcontext(measure), CostRun, CostJob, cost_line, cost_tables, most_seconds=1.0
        )

    monkeypatch.setitem(catalogue.BENCHMARKS, "cost", benchmark)
    words = ["bench", "cost", "--out", str(tmp_path), "--repetitions"]
    assert main([*words, "1"]) == 0
    assert main([*words, "2"]) == 0
    assert max(Counter(measured).values()) == 1, "a stored run is not measured again"
    assert len(measured) == 2 * len(ARMS)
    assert main([*words, "2", "--seed", "2"]) == 2
    assert "results of other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["convergence", "--mix", "text 8k/8k"], "bench convergence has 60k/5k"),
        (["compression", "--treatment", "vanilla"], "bench compression has skip, multifd+zstd"),
        (["verdict", "--mix", "0/5k"], "bench verdict has 60k/5k"),
        (["compression", "--mbit", "0"], "--mbit is above 0"),
        (["cost", "--repetitions", "0"], "--repetitions is 1 or more"),
    ],
)
def test_options_that_a_benchmark_does_not_have_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())

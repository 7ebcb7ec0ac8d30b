"""The benchmark of the verdict: its jobs, what its checks set, and its tables."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmark_tables import shown
from fakedirty.cli.main import main
from fakedirty.lab.bench import forecasts
from fakedirty.lab.bench.benchmarks import catalogue
from fakedirty.lab.bench.benchmarks.benchmark import Benchmark, BenchmarkOptions
from fakedirty.lab.bench.benchmarks.forecasts import forecast_line, forecast_tables, with_base
from fakedirty.lab.bench.benchmarks.recommendation_tables import Checked, checked
from fakedirty.lab.bench.forecasts import (
    CHECKED_LINK,
    LINKS,
    MIXES,
    PLANS,
    CheckedForecast,
    ForecastJob,
    forecast_jobs,
    measure_forecast,
    nothing_run,
)
from fakedirty.lab.bench.recommendation_checks import (
    BANDWIDTH,
    CHANGES,
    FACTORS,
    FAST_LINK,
    LIMIT,
    Change,
    Needs,
    changed_settings,
    changes,
    longest_time,
    needs_of,
    time_of,
)
from fakedirty.lab.experiment import Experiment
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.migrate import UNLIMITED, Settings
from fakedirty.model.prediction import predict
from played_guests import Guest, played

BASE = ForecastJob(1, "60k/5k", CHECKED_LINK, "as-is")
SKIPPING = replace(BASE, plan="skip")


def needing(bandwidth: float | None, limit: float | None) -> dict[str, dict[str, float | None]]:
    """What a base recommends for the plan with skip."""
    return {"as-is": {"bandwidth": 1e9, "limit_seconds": 3.0}, "skip": {"bandwidth": bandwidth, "limit_seconds": limit}}


def run_of(job: ForecastJob, seconds: float | None = None, **members: Any) -> CheckedForecast:
    """A run that ended after so many seconds, or did not."""
    run = nothing_run(job)
    members = {"memory_equal": True, "judged": True, **members}
    return replace(run, converged=seconds is not None, total_seconds=seconds, **members)


def check(plan: str, change: str, factor: float, seconds: float | None, reached: float = 1e9) -> CheckedForecast:
    """A check of a bandwidth of 100 MB/s or a limit of 200 ms."""
    job = ForecastJob(1, "60k/5k", CHECKED_LINK, plan, change, factor)
    value = Needs(100e6, 0.2).value(Change(change, factor))
    return run_of(job, seconds, value=value, reached_bandwidth=reached)


def test_every_base_once_and_every_check_of_one_link_after_them() -> None:
    jobs = list(forecast_jobs(2, 5))
    bases = [job for job in jobs if not job.change]
    assert max(Counter(jobs).values()) == 1
    assert len(bases) == 2 * len(MIXES) * len(LINKS) * len(PLANS)
    assert len(jobs) - len(bases) == 2 * len(MIXES) * len(PLANS) * len(CHANGES) * len(FACTORS)
    for number, job in enumerate(jobs):
        if job.change:
            assert job.mbit == CHECKED_LINK
            assert jobs.index(job.base) < number
            assert not job.base.change
    assert {(job.change, job.factor) for job in jobs} == {
        *{("", 1.0), (BANDWIDTH, 1.15), (BANDWIDTH, 0.85), (LIMIT, 1.15), (LIMIT, 0.85)}
    }
    assert list(forecast_jobs(1, 6)) != list(forecast_jobs(1, 5))
    assert {job.mix for job in forecast_jobs(1, 5, MIXES[:1])} == {"60k/5k"}
    drawn = list(changes(random.Random(1), 3))
    assert Counter(number for number, _ in drawn) == {0: 4, 1: 4, 2: 4}


def test_what_a_check_sets() -> None:
    base = Settings(300)
    assert base.bandwidth_bytes == UNLIMITED
    faster = changed_settings(base, Change(BANDWIDTH, 1.15), 115e6)
    assert (faster.bandwidth_bytes, faster.downtime_limit_ms) == (115_000_000, 300)
    longer = changed_settings(base, Change(LIMIT, 1.15), 0.2304)
    assert (longer.bandwidth_bytes, longer.downtime_limit_ms) == (UNLIMITED, 230)
    assert changed_settings(base, Change(LIMIT, 0.85), 1e-5).downtime_limit_ms == 1
    assert Needs(100e6, 0.2).value(Change(BANDWIDTH, 0.85)) == pytest.approx(85e6)
    assert Needs(100e6, 0.2).value(Change(LIMIT, 1.15)) == pytest.approx(0.23)
    assert Needs(None, None).value(Change(LIMIT, 1.15)) is None


def test_less_bandwidth_gets_more_time() -> None:
    """A link of 125 MB/s, and 25 s."""
    slow = Change(BANDWIDTH, 0.85)
    assert time_of(slow, 125e6, 125e6, 25.0) == 25.0
    assert time_of(slow, 62.5e6, 125e6, 25.0) == 50.0
    assert time_of(slow, 50e6, 125e6, 25.0) == 62.5 == longest_time(BANDWIDTH, 25.0)
    assert time_of(slow, 49e6, 125e6, 25.0) is None
    assert time_of(Change(LIMIT, 0.85), 0.01, 125e6, 25.0) == 25.0 == longest_time(LIMIT, 25.0)


def test_needs_are_those_of_the_plan() -> None:
    """65,000 pages, of which 5,200 change, in 300 ms."""
    found = predict(played(Guest(65_000, changed=0.08), 2)[0], 0.3)
    assert needs_of(found, skip=False).bandwidth == pytest.approx(887e6, rel=0.016)
    assert needs_of(found, skip=True).bandwidth == pytest.approx(76e6, rel=0.016)
    assert needs_of(found, skip=True).limit_seconds == pytest.approx(0.192, rel=0.016)
    assert needs_of(None, skip=True) == Needs()
    assert needs_of(predict(played(Guest(65_000, changed=0.08), 5, skip_after=2)[0], 0.3), skip=True) == Needs()


@pytest.mark.parametrize(
    ("needed", "change", "factor"),
    [((None, 0.2), BANDWIDTH, 1.15), ((100e6, None), LIMIT, 0.85), ((40e6, 0.2), BANDWIDTH, 1.15)],
    ids=["no bandwidth", "no limit", "46 MB/s: too slow"],
)
def test_nothing_runs_where_there_is_nothing_to_check(
    needed: tuple[float | None, float | None], change: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "run_experiment", pytest.fail)
    bandwidth, limit = needed
    base = run_of(BASE, needs=needing(bandwidth, limit))
    job = replace(SKIPPING, change=change, factor=factor)
    run = measure_forecast(job, base, Path("qemu"), BuiltGuest.__new__(BuiltGuest), time_limit=25.0)
    assert (run.job, run.memory_equal, checked(run)) == (job, None, Checked.NOTHING)


class StartedError(Exception):
    """An experiment was to run."""


@pytest.mark.parametrize(
    ("change", "bits", "time_limit", "settings"),
    [
        ("", 10**9, 25.0, Settings(300)),
        (BANDWIDTH, FAST_LINK, 25.0 * 125 / 115, Settings(300, 115_000_000)),
        (LIMIT, 10**9, 25.0, Settings(230)),
    ],
)
def test_a_check_differs_from_its_base_in_one_thing(
    change: str, bits: int, time_limit: float, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Experiment] = []

    def started(experiment: Experiment, sinks: object) -> None:
        seen.append(experiment)
        raise StartedError

    monkeypatch.setattr(forecasts, "run_experiment", started)
    base = run_of(BASE, needs=needing(100e6, 0.2)) if change else None
    job = replace(SKIPPING, change=change, factor=1.15 if change else 1.0)
    with pytest.raises(StartedError):
        measure_forecast(job, base, Path("qemu"), BuiltGuest.__new__(BuiltGuest), time_limit=25.0)
    [experiment] = seen
    assert (experiment.bits_per_second, experiment.time_limit) == (bits, pytest.approx(time_limit))
    assert experiment.settings == settings
    assert len(experiment.steps) == 1


def test_a_check_is_given_its_base() -> None:
    run = run_of(BASE, 5.0)
    job = replace(SKIPPING, change=LIMIT, factor=0.85)
    assert with_base(BASE, {BASE: run}) == (BASE, None)
    assert with_base(SKIPPING, {BASE: run}) == (SKIPPING, None)
    assert with_base(job, {BASE: run}) == (job, run)
    assert with_base(job, {}) == (job, None)


@pytest.mark.parametrize(
    ("run", "shows"),
    [
        (check("skip", LIMIT, 1.15, 5.0), Checked.ENDED),
        (check("skip", LIMIT, 0.85, None, reached=0), Checked.NOT_ENDED),
        (check("skip", BANDWIDTH, 1.15, None, reached=110e6), Checked.NOT_ENDED),
        (check("skip", BANDWIDTH, 1.15, None, reached=109e6), Checked.NOTHING),
        (check("skip", BANDWIDTH, 1.15, 5.0, reached=90e6), Checked.ENDED),
        (replace(check("skip", BANDWIDTH, 1.15, None), reached_bandwidth=None), Checked.NOTHING),
        (nothing_run(replace(BASE, change=LIMIT, factor=1.15)), Checked.NOTHING),
    ],
    ids=["ended", "not ended", "95.6% reached", "94.8% reached", "ended with less", "not measured", "not run"],
)
def test_what_a_run_shows(run: CheckedForecast, shows: Checked) -> None:
    assert checked(run) is shows


def row(lines: list[str], *cells: str) -> list[str]:
    """The cells of the one row that begins with these."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    [found] = [each for each in rows if each[: len(cells)] == list(cells)]
    return found[len(cells) :]


def test_the_tables() -> None:
    """Two bases and five checks: one that ended as predicted, one that did not, one below that did, two of no use."""
    runs = [
        run_of(BASE, None),
        run_of(
            SKIPPING, 5.0, predicted=True, total_low=4.0, total_expected=4.8, total_high=None, downtime_expected=0.1
        ),
        check("skip", LIMIT, 1.15, 5.3),
        check("skip", LIMIT, 0.85, None),
        check("skip", BANDWIDTH, 1.15, None),
        check("as-is", BANDWIDTH, 1.15, None, reached=50e6),
        nothing_run(replace(SKIPPING, change=BANDWIDTH, factor=0.85)),
    ]
    lines = shown(forecast_tables(runs))
    assert row(lines, "60k/5k", "1000", "skip") == ["4.80 (4.00 to ?)", "5.00", "-4.0%", "100", "-"]
    assert row(lines, "60k/5k", "skip", "limit", "+15%") == ["230 ms", "", "5.30", "it did"]
    assert row(lines, "60k/5k", "skip", "limit", "-15%") == ["170 ms", "", "no end", "it did not"]
    assert row(lines, "60k/5k", "skip", "bandwidth", "+15%") == ["115.0 MB/s", "1000", "no end", "it did not"]
    assert row(lines, "60k/5k", "skip", "bandwidth", "-15%") == ["-", "", "-", "not checked"]
    assert row(lines, "60k/5k", "as-is", "bandwidth", "+15%") == ["115.0 MB/s", "50", "no end", "not checked"]
    assert row(lines, "skip", "limit", "+15%") == ["yes", "1", "0", "0"]
    assert row(lines, "skip", "limit", "-15%") == ["no", "0", "1", "0"]
    assert row(lines, "skip", "bandwidth", "+15%") == ["yes", "0", "1", "0"]
    assert row(lines, "as-is", "bandwidth", "+15%") == ["yes", "0", "0", "1"]
    assert row(lines, "all", "all", "+15%") == ["yes", "1", "1", "1"]
    assert row(lines, "all", "all", "-15%") == ["no", "0", "1", "1"]
    assert sum("does it converge" in line for line in lines) == 3, "two of forecasts, one of recommendations"


def test_the_lines() -> None:
    assert forecast_line(check("skip", LIMIT, 1.15, 5.3)) == "60k/5k, skip: limit 230 ms (+15%); real: 5.30"
    nothing = nothing_run(replace(SKIPPING, change=BANDWIDTH, factor=0.85))
    assert forecast_line(nothing) == "60k/5k, skip: bandwidth - (-15%); nothing was run"
    assert forecast_line(run_of(BASE, 5.0)).endswith("real: 5.00")


def test_checks_go_on_with_the_bases_that_are_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark is interrupted at its second job, and later gets each base that it has already."""
    jobs = [BASE, replace(BASE, change=LIMIT, factor=1.15), replace(BASE, change=LIMIT, factor=0.85)]
    got: list[tuple[ForecastJob, CheckedForecast | None]] = []

    def benchmark(options: BenchmarkOptions) -> Benchmark:
        def measure(job_and_base: tuple[ForecastJob, CheckedForecast | None]) -> CheckedForecast:
            got.append(job_and_base)
            if len(got) == 2:
                raise KeyboardInterrupt
            return run_of(job_and_base[0], 5.0, needs=needing(None, 0.2), value=0.2)

        return Benchmark(
            settings={},
            jobs=jobs,
            measuring=lambda: nullcontext(measure),
            run_type=CheckedForecast,
            job_type=ForecastJob,
            line=forecast_line,
            tables=forecast_tables,
            most_seconds=1.0,
            informed=with_base,
        )

    monkeypatch.setitem(catalogue.BENCHMARKS, "verdict", benchmark)
    words = ["bench", "verdict", "--out", str(tmp_path)]
    assert main(words) != 0
    assert main(words) == 0
    assert [job for job, _ in got] == [jobs[0], jobs[1], jobs[1], jobs[2]]
    base = run_of(BASE, 5.0, needs=needing(None, 0.2), value=0.2)
    assert [found for _, found in got] == [None, base, base, base]

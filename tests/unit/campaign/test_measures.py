"""Measurements of a run beside its rounds: throughput, CPU time of threads, observed downtime; and its row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakedirty.campaign.columns import RUNS
from fakedirty.campaign.observed_downtime import observed_downtime_ms
from fakedirty.campaign.plan import PlannedRun
from fakedirty.campaign.run_measurements import RunResult
from fakedirty.campaign.run_row import row_of
from fakedirty.campaign.spec import parse
from fakedirty.campaign.thread_time import MIGRATION, VCPUS, ThreadTimes
from fakedirty.campaign.workloads.operations import operations
from fakedirty.campaign.workloads.sweeps import sweep_meter
from fakedirty.campaign.workloads.throughput import (
    DESTINATION,
    SOURCE,
    Meter,
    ThroughputReader,
    ThroughputSample,
    TimedSample,
    followed,
    medians,
)
from fakedirty.errors import LabError
from fakedirty.lab.migrate import MigrationResult
from made_migrations import made, tell

SPEC = parse("name = 'x'\ntime_limit_seconds = 9\n[factors]\nworkload = ['idle']\ntreatment = ['skip']\n").spec
RUN = PlannedRun("0001", 1, "idle", 64, "skip", 1000, 1, 1)
INFO = {
    "status": "completed",
    "total-time": 2000,
    "setup-time": 3,
    "downtime": 42,
    "ram": {"transferred": 90},
    "fake-dirty": {"false-equal": 0},
}


def event(name: str, seconds: int, microseconds: int, **data: object) -> dict[str, object]:
    return {"event": name, "timestamp": {"seconds": seconds, "microseconds": microseconds}, "data": data}


def test_sweeps_are_differences_of_lines() -> None:
    meter = sweep_meter()
    samples = [
        meter(line) for line in ("SeaBIOS", "guest: ready", "guest: sweeps 40 1000 30", "guest: sweeps 90 2000 25")
    ]
    assert samples == [None, None, None, ThroughputSample(50.0, 20_000.0, 25_000.0)]
    assert meter("guest: sweeps 90 3000 0") == ThroughputSample(0.0, None, None)


def test_a_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    file = tmp_path / "serial.log"
    reader = ThroughputReader(SOURCE, file, sweep_meter())
    reader.look(0.0)
    file.write_text("guest: sweeps 40 1000 30\nguest: sweeps 90 20")
    reader.look(1.0)
    assert reader.samples == []
    with file.open("a") as more:
        more.write("00 25\r\n")
    reader.look(2.0)
    reader.look(3.0)
    assert reader.samples == [TimedSample(SOURCE, 2.0, ThroughputSample(50.0, 20_000.0, 25_000.0))]


@pytest.mark.parametrize(
    ("meter", "line"),
    [(operations, "error ycsb ended: no server\n"), (sweep_meter(), "guest: error no server\n")],
)
def test_a_guest_that_stops_working_fails_what_runs_meanwhile(meter: Meter, line: str, tmp_path: Path) -> None:
    file = tmp_path / "service.log"
    stopped = pytest.raises(LabError, match=r"the guest reports an error: (ycsb ended: )?no server")
    with stopped, followed([ThroughputReader(SOURCE, file, meter)]):
        file.write_text(line)
    with pytest.raises(ValueError, match="the first"), followed([ThroughputReader(SOURCE, file, meter)]):
        raise ValueError("the first")


def test_throughput_is_sorted_by_time_and_side() -> None:
    samples = [
        TimedSample(SOURCE, at, ThroughputSample(rate))
        for at, rate in ((1, 100.0), (2, 100.0), (4, 60.0), (5, 80.0), (9, 1.0))
    ]
    samples += [TimedSample(DESTINATION, at, ThroughputSample(rate)) for at, rate in ((7, 90.0), (8, 94.0), (9, 92.0))]
    found = medians(samples, start=3.0, end=6.0)
    assert (found.before, found.during, found.after) == (100.0, 70.0, 92.0)
    assert found.degradation == pytest.approx(0.3)
    assert medians([], 0, 1).degradation is None


def test_cpu_time_of_threads_that_come_and_go(tmp_path: Path) -> None:
    def thread(tid: int, name: str, nanoseconds: int) -> Path:
        task = tmp_path / "7" / "task" / str(tid)
        task.mkdir(parents=True, exist_ok=True)
        (task / "comm").write_text(f"{name}\n")
        (task / "schedstat").write_text(f"{nanoseconds} 0 1\n")
        return task

    times = ThreadTimes(7, tmp_path)
    thread(7, "qemu-system-x86", 10**9)
    thread(8, "CPU 0/TCG", 5 * 10**9)
    times.look()
    assert (times.seconds(MIGRATION), times.seconds(VCPUS)) == (None, 0.0)
    main = thread(9, "mig/src/main", 10**8)
    thread(10, "mig/src/send_1", 2 * 10**8)
    thread(8, "CPU 0/TCG", 7 * 10**9)
    times.look()
    for file in main.iterdir():
        file.unlink()
    main.rmdir()
    times.look()
    assert times.seconds(MIGRATION) == pytest.approx(0.3)
    assert times.seconds(VCPUS) == pytest.approx(2.0)


def test_observed_downtime_is_from_stop_to_arrival() -> None:
    source = [event("STOP", 9, 999_000), event("MIGRATION", 10, 0, status="completed")]
    there = [event("MIGRATION", 9, 0, status="active"), event("MIGRATION", 10, 50_500, status="completed")]
    assert observed_downtime_ms(source, there) == pytest.approx(51.5)
    assert observed_downtime_ms([], there) is None
    assert observed_downtime_ms(source, there[:1]) is None
    assert observed_downtime_ms(source, [event("MIGRATION", 9, 5, status="postcopy-active"), *there]) is None


def row(result: RunResult, error: str = "") -> dict[str, object]:
    return row_of(RUN, SPEC, result, started_at=datetime(2026, 1, 1, tzinfo=UTC), wall_seconds=8.0, error=error)


def test_a_row_has_every_column_and_no_other() -> None:
    for result in (
        RunResult(),
        RunResult(outcome=MigrationResult("completed", True, 9.0, INFO, INFO), migration=tell(made(), [])),
    ):
        assert list(row(result)) == [column.name for column in RUNS]


def test_a_completed_run_has_its_times_and_its_sums() -> None:
    migration = tell(made(), [])
    found = row(
        RunResult(
            outcome=MigrationResult("completed", True, 9.0, INFO, INFO), migration=migration, link_bytes=125_000_000
        )
    )
    assert (found["outcome"], found["converged"], found["total_time_ms"], found["downtime_ms"]) == (
        *("completed", True),
        *(2000, 42),
    )
    assert found["bandwidth_use"] == pytest.approx(0.5)
    assert found["rounds"] == len(migration.rounds)
    assert found["fake_pages"] == sum(each.fake_pages or 0 for each in migration.rounds) > 0
    assert found["false_equal_pages"] is None  # nothing was audited
    assert migration.totals is not None
    assert found["totals"] == str(migration.totals.outcome)


def test_a_run_at_the_time_limit_is_censored() -> None:
    """Its times are not known, and rounds after the limit are not counted."""
    migration = tell(made(), [])
    found = row(
        RunResult(outcome=MigrationResult("completed", False, 9.0, INFO, INFO), migration=migration, rounds_at_end=1)
    )
    assert (found["outcome"], found["converged"], found["total_time_ms"], found["downtime_ms"]) == (
        *("time-limit", False),
        *(None, None),
    )
    assert found["reason"] == "it had not ended after 9 s"
    assert (found["rounds"], found["visited_pages"]) == (1, migration.rounds[0].visited_pages)


def test_a_failed_run_has_its_reason() -> None:
    assert (row(RunResult(), "no guest")["outcome"], row(RunResult(), "no guest")["reason"]) == ("failed", "no guest")
    info = {"status": "failed", "error-desc": "Broken pipe"}
    found = row(RunResult(outcome=MigrationResult("failed", True, 9.0, info, info)))
    assert (found["outcome"], found["reason"], found["converged"], found["memory_equal"]) == (
        *("failed", "Broken pipe"),
        *(False, None),
    )

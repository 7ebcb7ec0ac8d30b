"""The cost benchmark: its arms, the CPU time of threads, and paired differences."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmark_tables import shown
from fakedirty.errors import LabError
from fakedirty.lab.bench.benchmarks.cost import cost_tables
from fakedirty.lab.bench.benchmarks.statistics import interval, paired_differences, spread
from fakedirty.lab.bench.cost import ARMS, CHANNELS, COMPARED, MULTIFD, CostJob, CostRun, cost_jobs
from fakedirty.lab.bench.full_speed import channel_seconds, sink, thread_seconds


def cost(arm: str, repetition: int, seconds: float) -> CostRun:
    return CostRun(CostJob(repetition, arm), seconds, seconds / 2, pages=1_000_000)


def write_threads(proc: Path, *threads: tuple[str, int]) -> None:
    """The files of process 77 that have the names and the CPU time of its threads, in nanoseconds."""
    for number, (name, nanoseconds) in enumerate(threads, 10):
        task = proc / "77" / "task" / str(number)
        task.mkdir(parents=True)
        (task / "comm").write_text(f"{name}\n")
        (task / "schedstat").write_text(f"{nanoseconds} 5 6\n")


def test_every_repetition_has_every_arm_once() -> None:
    drawn = list(cost_jobs(4, seed=3))
    assert drawn == list(cost_jobs(4, seed=3))
    assert Counter(drawn) == Counter(CostJob(number, arm.name) for number in range(1, 5) for arm in ARMS)


def test_some_arms_alone() -> None:
    two = [arm for arm in ARMS if arm.name in ("unpatched", "off")]
    assert Counter(cost_jobs(3, seed=3, arms=two)) == Counter(
        CostJob(number, name) for number in (1, 2, 3) for name in ("unpatched", "off")
    )
    text = "\n".join(shown(cost_tables([cost(job.arm, job.repetition, 1.0) for job in cost_jobs(3, seed=3, arms=two)])))
    assert "off over unpatched" in text
    assert "observe" not in text


def test_costs_are_compared_in_pairs_of_one_repetition() -> None:
    costs = [cost("off", 1, 1.0), cost("off", 2, 2.0), cost("observe", 2, 2.2), cost("observe", 1, 1.1)]
    assert paired_differences(costs, "off", "observe", "pass_seconds") == pytest.approx([0.1, 0.1])
    assert paired_differences(costs, "unpatched", "off", "pass_seconds") == []
    assert "+10.00% (+10.00% to +10.00%)" in "\n".join(shown(cost_tables(costs)))


def test_the_cost_of_a_page_is_that_of_all_threads() -> None:
    assert cost("off", 1, 1.0).thread_ns_per_page == 500
    assert CostRun(CostJob(1, "off"), 1.0, 0.5, 1_000_000, 0.25).thread_ns_per_page == 750


def test_the_arms_with_multifd() -> None:
    names = [arm.name for arm in ARMS]
    assert len(set(names)) == len(names)
    assert {arm.name: arm.channels for arm in ARMS if arm.channels} == {
        f"{name}{MULTIFD}": CHANNELS for name in ("unpatched", "off", "observe", "skip")
    }
    assert {each for pair in COMPARED for each in pair} <= set(names)
    assert (f"unpatched{MULTIFD}", f"off{MULTIFD}") in COMPARED


def test_one_value_has_no_range() -> None:
    assert (spread([], 2), spread([1.0], 2), spread([1, 2, 6], 0)) == ("-", "1.00", "2 (1-6)")


def test_an_interval_contains_the_median() -> None:
    assert interval([]) == "-"
    middle, low, high = (
        float(word.strip("(%)")) for word in interval([-0.01, 0.0, 0.01, 0.02]).split() if word != "to"
    )
    assert low < middle < high
    assert middle == 0.5


def test_the_migration_thread_is_found_by_its_name(tmp_path: Path) -> None:
    write_threads(tmp_path, ("CPU 0/TCG", 9), ("mig/src/main", 1_500_000_000))
    source = SimpleNamespace(pid=77, name="vm")
    assert thread_seconds(source, tmp_path) == 1.5  # type: ignore[arg-type]
    (tmp_path / "77" / "task" / "11" / "comm").write_text("worker\n")
    with pytest.raises(LabError, match="no migration thread"):
        thread_seconds(source, tmp_path)  # type: ignore[arg-type]


def test_the_time_of_the_channels_is_their_sum(tmp_path: Path) -> None:
    write_threads(tmp_path, ("mig/src/main", 9), ("mig/src/send_0", 1_000_000_000), ("mig/src/send_1", 500_000_000))
    assert channel_seconds(SimpleNamespace(pid=77, name="vm"), tmp_path) == 1.5  # type: ignore[arg-type]


def test_a_sink_reads_several_connections_at_once() -> None:
    with sink() as uri:
        _tcp, host, port = uri.split(":")
        connections = [socket.create_connection((host, int(port))) for _ in range(3)]
        for connection in reversed(connections):
            connection.settimeout(20)
            connection.sendall(bytes(8 << 20))  # far more than buffers hold
            connection.close()

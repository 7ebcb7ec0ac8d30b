"""The benchmark of the downtime: its order, its line, and its tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from benchmark_tables import shown
from fakedirty.lab.bench.benchmarks.downtime import downtime_line, downtime_tables
from fakedirty.lab.bench.downtime import ARMS, DowntimeJob, DowntimeRun, downtime_jobs


def run_of(arm: str, client: float = 120.0) -> DowntimeRun:
    return DowntimeRun(
        DowntimeJob(1, arm),
        total_seconds=3.0,
        downtime_ms=90,
        blackout_ms=100.0,
        parts={"ram": 80.0, "load": 15.5},
        unexplained_ms=4.5,
        memory_right=True,
        slowest=[("last RAM", 80.0)],
        outages={"IPv4": client, "IPv6": client + 5},
        replies={"IPv4": 20.0},
        unanswered={"IPv4": 50},
        announced={"rarp": 0.5, "gratuitous-arp": None, "neighbour-advertisement": 30.25},
    )


def test_every_arm_comes_once_in_a_repetition() -> None:
    jobs = list(downtime_jobs(4, seed=1))
    assert Counter(job.arm for job in jobs) == {arm.name: 4 for arm in ARMS}
    assert jobs == list(downtime_jobs(4, seed=1))
    assert jobs != list(downtime_jobs(4, seed=2))


def row(lines: list[str], name: str) -> list[str]:
    [found] = [line for line in lines if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in found.strip("│").split("│")][1:]


def test_the_tables_have_arms_in_columns() -> None:
    lines = shown(downtime_tables([run_of("off, level usdt"), run_of("off"), run_of("off", 140.0)]))
    assert row(lines, "as QEMU reports it") == ["90.0", "90.0 (90.0-90.0)", "-"]
    assert row(lines, "at the client, IPv4") == ["120.0", "130.0 (120.0-140.0)", "-"]
    assert row(lines, "at the client, IPv6") == ["125.0", "135.0 (125.0-145.0)", "-"]
    assert row(lines, "requests lost, IPv4")[0] == "50.0"
    assert row(lines, "requests lost, IPv6") == ["-", "-", "-"], "what was not seen is no number"
    assert row(lines, "ram")[0] == "80.0"
    assert row(lines, "unexplained")[0] == "4.5"
    assert row(lines, "rarp")[0] == "0.5"
    assert row(lines, "gratuitous-arp")[0] == "-"
    assert row(lines, "reply, IPv4")[0] == "20.0"
    assert not [line for line in lines if "│ save " in line], "no run has that part"


def test_a_line_has_all_three_downtimes() -> None:
    line = downtime_line(run_of("off"))
    assert line == "off: QEMU 90 ms, from outside 100.0 ms, client IPv4 120 ms, IPv6 125 ms; memory right"
    wrong = replace(run_of("off"), outages={}, memory_right=False)
    assert downtime_line(wrong).endswith("client not known; memory NOT RIGHT")

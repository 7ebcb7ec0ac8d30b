"""Campaigns made by hand: frames as they are read back, with runs that were cut off and runs that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

LIMIT = 25.0
PAGES_PER_MIB = 256
RUN_COLUMNS = (
    *("run", "block", "repetition", "workload", "memory_mib", "treatment", "mbit", "vcpus", "outcome", "reason"),
    *("converged", "time_limit_seconds", "total_time_ms", "setup_time_ms", "downtime_ms", "outside_downtime_ms"),
    *("link_bytes", "transferred_bytes", "bandwidth_use", "rounds", "visited_pages", "first_pages", "changed_pages"),
    *("fake_pages", "zero_pages", "normal_pages", "xbzrle_pages", "unchanged_pages", "skipped_pages", "hash_seconds"),
    *("migration_cpu_seconds", "vcpu_cpu_seconds", "host_memory_bytes", "service_before", "service_during"),
    *("service_after", "degradation", "false_equal_pages", "memory_equal", "totals", "started_at"),
    *("migration_id",),
)
ROUND_COLUMNS = (
    *("run", "block", "repetition", "workload", "memory_mib", "treatment", "mbit", "vcpus", "round", "kind", "mode"),
    *("start_seconds", "duration_seconds", "visited_pages", "first_pages", "changed_pages", "fake_pages"),
    *("skipped_pages", "valid"),
)
SERVICE_COLUMNS = ("run", "side", "seconds", "operations_per_second", "latency_us", "latency_p99_us")
TOGGLE_COLUMNS = ("run", "round", "seconds", "from_mode", "to_mode", "hash")


@dataclass
class Campaign:
    """The same members as `fakedirty.campaign.frames.Campaign`."""

    name: str
    spec: dict[str, Any]
    runs: pd.DataFrame
    rounds: pd.DataFrame
    toggles: pd.DataFrame
    service: pd.DataFrame
    left_out: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    planned: int = 0


@dataclass(frozen=True)
class Way:
    """The effect of a treatment on a run: seconds of total time (None: it does not converge), rounds, skipping, and
    whether pages are counted by class.
    """

    seconds: float | None
    rounds: int
    skips: bool = False
    counted: bool = True


WAYS = {
    "vanilla": Way(None, 9),
    "xbzrle-ram": Way(8.0, 12),
    "skip": Way(4.0, 5, skips=True),
    "unobserved": Way(None, 9, counted=False),
}
#: share of what is re-sent that is fake
FAKE = {"workingset": 0.9, "quicksort": 0.55, "idle": 0.3}


def empty() -> Campaign:
    """A campaign that has not begun."""
    return Campaign(
        "not begun",
        {},
        pd.DataFrame(columns=RUN_COLUMNS),
        pd.DataFrame(columns=ROUND_COLUMNS),
        pd.DataFrame(columns=TOGGLE_COLUMNS),
        pd.DataFrame(columns=SERVICE_COLUMNS),
    )


def campaign(
    treatments: tuple[str, ...] = tuple(WAYS),
    workloads: tuple[str, ...] = ("workingset", "quicksort"),
    memories: tuple[int, ...] = (256, 512),
    blocks: int = 6,
    name: str = "an example",
) -> Campaign:
    """One in which vanilla does not converge on the working set; skip does always. Some runs have failed."""
    draw = np.random.default_rng(5)
    runs: list[dict[str, object]] = []
    rounds: list[dict[str, object]] = []
    service: list[dict[str, object]] = []
    toggles: list[dict[str, object]] = []
    for block in range(1, blocks + 1):
        for workload in workloads:
            for memory in memories:
                for treatment in draw.permutation(treatments):
                    number = f"{len(runs) + 1:04}"
                    factors = {
                        "run": number, "block": block, "repetition": block, "workload": workload,
                        "memory_mib": memory, "treatment": str(treatment), "mbit": 1000, "vcpus": 1,
                    }  # fmt: skip
                    way = WAYS.get(str(treatment), Way(6.0, 6))
                    made = _rounds(factors, way, draw)
                    run = _run(factors, way, made, draw)
                    runs.append(run)
                    if run["outcome"] != "failed":
                        rounds += made
                        service += _service(number, run, draw)
                        if way.skips:
                            toggles.append({"run": number, "round": 3, "seconds": 1.9, "from_mode": "observe",
                                            "to_mode": "skip", "hash": "xxh3-64"})  # fmt: skip
    left_out = [{"treatment": "multifd+skip", "reason": "fake-dirty-mode cannot be used together with multifd"}]
    return Campaign(
        name,
        {"name": name, "seed": 7, "treatments": list(treatments)},
        pd.DataFrame(runs, columns=RUN_COLUMNS).convert_dtypes(),
        pd.DataFrame(rounds, columns=ROUND_COLUMNS).convert_dtypes(),
        pd.DataFrame(toggles, columns=TOGGLE_COLUMNS).convert_dtypes(),
        pd.DataFrame(service, columns=SERVICE_COLUMNS).convert_dtypes(),
        left_out,
        planned=len(runs),
    )


def _rounds(factors: dict[str, Any], way: Way, draw: np.random.Generator) -> list[dict[str, object]]:
    """All of RAM in the first round, a tenth of it in each that follows."""
    pages = factors["memory_mib"] * PAGES_PER_MIB
    seconds = way.seconds * factors["memory_mib"] / 512 if way.seconds else 0.94 * LIMIT
    lengths = np.array([4.0, *np.ones(way.rounds - 1)])
    lengths *= seconds * draw.uniform(0.95, 1.05) / lengths.sum()
    made = []
    for number, (start, length) in enumerate(zip(np.cumsum(lengths) - lengths, lengths, strict=True), 1):
        visited = pages if number == 1 else int(pages * draw.uniform(0.2, 0.3))
        fake = 0 if number == 1 else int(visited * FAKE.get(factors["workload"], 0.5) * draw.uniform(0.95, 1.05))
        first = pages if number == 1 else 0
        classes = {"first_pages": first, "changed_pages": visited - first - fake, "fake_pages": fake}
        made.append({
            **factors, "round": number, "kind": "bulk" if number == 1 else "iterative",
            "mode": "skip" if way.skips and number > 2 else "observe", "start_seconds": start,
            "duration_seconds": length, "visited_pages": visited,
            **(classes if way.counted else dict.fromkeys(classes)),
            "skipped_pages": fake if way.skips and number > 2 else 0, "valid": True,
        })  # fmt: skip
    return made


def _run(
    factors: dict[str, Any], way: Way, rounds: list[dict[str, Any]], draw: np.random.Generator
) -> dict[str, object]:
    failed = factors["block"] == 3 and factors["treatment"] == "xbzrle-ram"
    completed = not failed and (way.seconds is not None or (factors["block"] == 2 and factors["memory_mib"] < 512))
    if failed:
        reason = "the guest was not ready within 30 s"
        return {**factors, "outcome": "failed", "reason": reason, "converged": False, "time_limit_seconds": LIMIT}
    seconds = rounds[-1]["start_seconds"] + rounds[-1]["duration_seconds"]

    def total(column: str) -> object:
        return sum(made[column] for made in rounds) if way.counted else None

    sent = sum(made["visited_pages"] - made["skipped_pages"] for made in rounds) * 4104
    return {
        **factors, "outcome": "completed" if completed else "time-limit",
        "reason": None if completed else f"not ended within {LIMIT:g} s", "converged": completed,
        "time_limit_seconds": LIMIT, "total_time_ms": round(seconds * 1000) if completed else None,
        "setup_time_ms": 4, "downtime_ms": int(draw.integers(40, 280)) if completed else None,
        "outside_downtime_ms": float(draw.integers(60, 300)) if completed else None, "link_bytes": int(sent * 1.03),
        "transferred_bytes": sent, "bandwidth_use": draw.uniform(0.9, 0.98), "rounds": len(rounds),
        "visited_pages": sum(made["visited_pages"] for made in rounds), "first_pages": total("first_pages"),
        "changed_pages": total("changed_pages"), "fake_pages": total("fake_pages"), "zero_pages": 0,
        "normal_pages": sent // 4104, "xbzrle_pages": 0, "unchanged_pages": 0,
        "skipped_pages": total("skipped_pages"), "hash_seconds": 0.06 if way.skips else None,
        "migration_cpu_seconds": seconds * 0.4, "vcpu_cpu_seconds": seconds * 0.9,
        "host_memory_bytes": factors["memory_mib"] << 20, "service_before": 1000.0,
        "service_during": 1000 * draw.uniform(0.6, 0.9), "service_after": 990.0,
        "degradation": draw.uniform(0.1, 0.4), "false_equal_pages": 0 if way.skips else None,
        "memory_equal": True if completed else None,
        "totals": "equal" if way.counted else None, "started_at": "2026-01-02T03:04:05+00:00",
        "migration_id": f"m{factors['run']}",
    }  # fmt: skip


def _service(number: str, run: dict[str, Any], draw: np.random.Generator) -> list[dict[str, object]]:
    """Before, during and after; from the end of the migration on, samples are of the destination."""
    end = run["total_time_ms"] / 1000 if run["outcome"] == "completed" else LIMIT
    rows = []
    for seconds in np.arange(-3, end + 3, 0.25):
        share = 1.0 if seconds < 0 or seconds > end else run["service_during"] / 1000
        operations = 1000 * share * draw.uniform(0.95, 1.05)
        rows.append({
            "run": number, "side": "source" if seconds <= end else "destination", "seconds": seconds,
            "operations_per_second": operations, "latency_us": 1e6 / operations, "latency_p99_us": 3e6 / operations,
        })  # fmt: skip
    return rows

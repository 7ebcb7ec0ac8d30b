"""A run as one flat row: the columns of ``columns.RUNS``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from fakedirty.model.migration import Migration

from .columns import RUNS, SUMMED
from .plan import PlannedRun
from .run_measurements import RunResult
from .spec import Spec
from .store import Row
from .thread_time import MIGRATION, VCPUS
from .workloads.throughput import medians

COMPLETED, TIME_LIMIT, FAILED = "completed", "time-limit", "failed"


def row_of(
    planned: PlannedRun, spec: Spec, result: RunResult, *, started_at: datetime, wall_seconds: float, error: str = ""
) -> Row:
    """Make the row of a run.

    Args:
        planned: the run.
        spec: the campaign file.
        result: what the run gave, as far as it came.
        started_at: start of the run, UTC.
        wall_seconds: how long the whole run took.
        error: why the run failed; empty if it did not. A failed run keeps what it gave before.
    """
    row: Row = dict.fromkeys((column.name for column in RUNS), None)
    row |= {
        **asdict(planned),
        "time_limit_seconds": spec.time_limit_seconds,
        "started_at": started_at.isoformat(),
        "wall_seconds": round(wall_seconds, 3),
    }
    outcome, reason = _outcome(result, spec, error)
    row |= {"outcome": outcome, "reason": reason}
    if result.outcome is not None:
        row |= _reported(planned, result, completed=outcome == COMPLETED, audited=spec.audit) | _observed(result)
    return row


def _outcome(result: RunResult, spec: Spec, error: str) -> tuple[str, str]:
    if error or result.outcome is None:
        return FAILED, error or "the migration was not begun"
    if result.outcome.status != "completed":
        return FAILED, str(result.outcome.final.get("error-desc", f"the migration is {result.outcome.status}"))
    if not result.outcome.converged:
        return TIME_LIMIT, f"it had not ended after {spec.time_limit_seconds:g} s"
    return COMPLETED, ""


def _reported(planned: PlannedRun, result: RunResult, *, completed: bool, audited: bool) -> Row:
    """What QEMU and the link report."""
    assert result.outcome is not None
    info = result.outcome.measured
    total_ms = info.get("total-time")
    capacity = planned.mbit * 1e6 / 8 * (total_ms or 0) / 1e3
    return {
        "converged": completed,
        "total_time_ms": total_ms if completed else None,
        "setup_time_ms": info.get("setup-time"),
        "downtime_ms": info.get("downtime") if completed else None,
        "outside_downtime_ms": result.observed_downtime_ms if completed else None,
        "link_bytes": result.link_bytes,
        "transferred_bytes": info.get("ram", {}).get("transferred"),
        "bandwidth_use": result.link_bytes / capacity if capacity else None,
        "false_equal_pages": info.get("fake-dirty", {}).get("false-equal") if audited else None,
    }


def _observed(result: RunResult) -> Row:
    """What was observed from outside, and the rounds until the end or the time limit."""
    throughput = medians(result.samples, result.started, result.ended)
    row: Row = {
        "migration_cpu_seconds": result.thread_seconds.get(MIGRATION),
        "vcpu_cpu_seconds": result.thread_seconds.get(VCPUS),
        "host_memory_bytes": result.host_bytes,
        "service_before": throughput.before,
        "service_during": throughput.during,
        "service_after": throughput.after,
        "degradation": throughput.degradation,
        "memory_equal": None if result.memory is None else result.memory.equal,
    }
    migration = result.migration
    if migration is not None:
        row["migration_id"] = migration.migration_id
        row["totals"] = None if migration.totals is None else str(migration.totals.outcome)
        row["postcopy_left_pages"] = migration.reported("postcopy", "pages")
        row |= _rounds(migration, result.measured_rounds)
    return row


def _rounds(migration: Migration, count: int) -> Row:
    """Sums over the first `count` rounds; None if a round lacks the count."""
    rounds = migration.rounds[:count]
    sums: Row = {"rounds": count}
    for name in SUMMED:
        values = [getattr(each, name) for each in rounds]
        sums[name] = None if not values or None in values else sum(values)
    return sums

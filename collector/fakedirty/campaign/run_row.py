"""What came of a run, as one flat row: the columns of ``record.campaign_columns.RUNS``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from fakedirty.model.migration import Migration

from .columns import RUNS, SUMMED
from .plan import PlannedRun
from .run import RunResult
from .spec import Spec
from .store import Row
from .thread_time import MIGRATION, VCPUS
from .workloads.throughput import medians

COMPLETED, TIME_LIMIT, FAILED = "completed", "time-limit", "failed"


def row_of(
    planned: PlannedRun, spec: Spec, seen: RunResult, *, started_at: datetime, wall_seconds: float, error: str = ""
) -> Row:
    """The row; an `error` makes it one that failed, with whatever had been seen by then."""
    row: Row = dict.fromkeys((column.name for column in RUNS), None)
    row |= {
        **asdict(planned),
        "time_limit_seconds": spec.time_limit_seconds,
        "started_at": started_at.isoformat(),
        "wall_seconds": round(wall_seconds, 3),
    }
    outcome, reason = _outcome(seen, spec, error)
    row |= {"outcome": outcome, "reason": reason}
    if seen.outcome is not None:
        row |= _migration(planned, seen, completed=outcome == COMPLETED, audited=spec.audit) | _seen(seen)
    return row


def _outcome(seen: RunResult, spec: Spec, error: str) -> tuple[str, str]:
    if error or seen.outcome is None:
        return FAILED, error or "the migration was not begun"
    if seen.outcome.status != "completed":
        return FAILED, str(seen.outcome.final.get("error-desc", f"the migration is {seen.outcome.status}"))
    if not seen.outcome.converged:
        return TIME_LIMIT, f"it had not ended after {spec.time_limit_seconds:g} s"
    return COMPLETED, ""


def _migration(planned: PlannedRun, seen: RunResult, *, completed: bool, audited: bool) -> Row:
    """What QEMU and the link say."""
    assert seen.outcome is not None
    info = seen.outcome.measured
    total_ms = info.get("total-time")
    carried = planned.mbit * 1e6 / 8 * (total_ms or 0) / 1e3
    return {
        "converged": completed,
        "total_time_ms": total_ms if completed else None,
        "setup_time_ms": info.get("setup-time"),
        "downtime_ms": info.get("downtime") if completed else None,
        "outside_downtime_ms": seen.outside_ms if completed else None,
        "link_bytes": seen.link_bytes,
        "transferred_bytes": info.get("ram", {}).get("transferred"),
        "bandwidth_use": seen.link_bytes / carried if carried else None,
        "false_equal_pages": info.get("fake-dirty", {}).get("false-equal") if audited else None,
    }


def _seen(seen: RunResult) -> Row:
    """What was seen from outside, and the rounds until the end or the limit."""
    service = medians(seen.heard, seen.started, seen.ended)
    row: Row = {
        "migration_cpu_seconds": seen.thread_seconds.get(MIGRATION),
        "vcpu_cpu_seconds": seen.thread_seconds.get(VCPUS),
        "host_memory_bytes": seen.host_bytes,
        "service_before": service.before,
        "service_during": service.during,
        "service_after": service.after,
        "degradation": service.degradation,
        "memory_equal": None if seen.memory is None else seen.memory.equal,
    }
    if seen.migration is not None:
        row["migration_id"] = seen.migration.migration_id
        row["totals"] = None if seen.migration.totals is None else str(seen.migration.totals.outcome)
        row["postcopy_left_pages"] = seen.migration.reported("postcopy", "pages")
        row |= _rounds(seen.migration, measured_rounds(seen))
    return row


def measured_rounds(seen: RunResult) -> int:
    """How many rounds had ended at the end, or at the limit."""
    if seen.outcome is not None and seen.outcome.converged and seen.migration is not None:
        return len(seen.migration.rounds)
    return seen.measured_rounds


def _rounds(migration: Migration, count: int) -> Row:
    """Sums over the first `count` rounds; None where one of them does not tell."""
    rounds = migration.rounds[:count]
    sums: Row = {"rounds": count}
    for name in SUMMED:
        values = [getattr(each, name) for each in rounds]
        sums[name] = None if not values or None in values else sum(values)
    return sums

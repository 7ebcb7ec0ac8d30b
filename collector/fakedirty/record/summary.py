"""``migration.json``: the end of a migration, and whether its recording is valid."""

from __future__ import annotations

from dataclasses import asdict

from fakedirty.model.forecast import Forecast
from fakedirty.model.migration import Migration
from fakedirty.model.recommendation import recommendations
from fakedirty.model.round import conserved
from fakedirty.model.totals import Outcome, expected_time_ns

from .manifest import Clock, side

#: column of the table of migrations: path in query-migrate
REPORTED = {
    "total_time_ms": ("total-time",),
    "setup_time_ms": ("setup-time",),
    "downtime_ms": ("downtime",),
    "transferred_bytes": ("ram", "transferred"),
}

#: averages that newer releases of QEMU have; QEMU reports 0 where no thread waited
LATENCIES = {
    "postcopy_latency_ns": ("postcopy-latency",),
    "postcopy_non_vcpu_latency_ns": ("postcopy-non-vcpu-latency",),
}

#: columns of the comparison with QEMU's totals: fields of :class:`fakedirty.model.totals.Totals`
COUNTED = ("counted_pages", "reported_pages", "postcopy_pages", "postcopy_bytes", "late_pages")


def outcome(migration: Migration) -> str:
    """The last state if it is an end; ``unfinished`` if the end was not observed."""
    return migration.state if migration.ended else "unfinished"


def conservation(migration: Migration) -> bool | None:
    """Whether every round that can be judged obeys the laws of conservation; None if none can be."""
    judged = [obeys for r in migration.rounds if (obeys := conserved(r)) is not None]
    return all(judged) if judged else None


def summary(run_id: str, migration: Migration, clock: Clock) -> dict[str, object]:
    """The columns of the table of migrations, and members that do not fit a table."""
    end_ns = migration.end_ns
    totals = migration.totals
    return {
        "run_id": run_id,
        "migration_id": migration.migration_id,
        "vm": migration.vm,
        "level": str(migration.level),
        "side": side(migration),
        "started_at": clock.date(migration.start_ns).isoformat(),
        "outcome": outcome(migration),
        "duration_seconds": _seconds(migration, end_ns),
        "stopped_at": _date(clock, migration.stopped_ns),
        "resumed_at": _date(clock, migration.resumed_ns),
        "outside_downtime_ms": None if (outside := migration.outside_downtime_ns) is None else outside / 1e6,
        "downtime_limit_ms": migration.downtime_limit_ms,
        "channels": migration.channels,
        "compressed": migration.compressed,
        **{column: migration.reported(*path) for column, path in REPORTED.items()},
        "rounds": len(migration.rounds),
        "invalid_rounds": sum(not r.valid for r in migration.rounds),
        "lost_events": sum(migration.lost_events.values()),
        "partial": migration.partial or (totals is not None and totals.outcome is Outcome.PARTIAL),
        "conservation": conservation(migration),
        "valid": migration.valid,
        "totals": None if totals is None else str(totals.outcome),
        "reason": "; ".join(migration.reasons),
        "postcopy_seconds": _seconds(migration, migration.postcopy_ns),
        **{name: None if totals is None else getattr(totals, name) for name in COUNTED},
        "postcopy_begun_seconds": _seconds(migration, migration.reported("postcopy", "start")),
        "postcopy_left_pages": migration.reported("postcopy", "pages"),
        "postcopy_marked_pages": migration.reported("postcopy", "marked"),
        **_switchover(migration),
        "remaining_bytes": migration.remaining_bytes,
        **{column: migration.reported(*path) or None for column, path in LATENCIES.items()},
        "return_path": migration.return_path,
        "totals_reason": None if totals is None else totals.reason,
        "joined_late": migration.partial,
        "lacks_round": migration.lacks_round,
        "state": migration.state,
        "lost_where": dict(migration.lost_events),
        "invalid_reasons": {str(r.round): r.invalid_reason for r in migration.rounds if not r.valid},
        "verdict": None if (found := migration.forecast) is None else _forecast(found),
        "query_migrate": dict(migration.report),
    }


def _switchover(migration: Migration) -> dict[str, object]:
    """QEMU's expectation of the switchover when it decided on it, and the result."""
    expected_ns = expected_time_ns(migration.report)
    taken_ns = migration.reported("switchover", "time")
    stopped_ns = migration.reported("switchover", "stopped-time")
    return {
        "switchover_expected_pages": migration.reported("switchover", "expected-pages"),
        "switchover_expected_seconds": None if expected_ns is None else expected_ns / 1e9,
        "switchover_pages": migration.reported("switchover", "pages"),
        "switchover_seconds": None if taken_ns is None else taken_ns / 1e9,
        "switchover_stopped_seconds": None if stopped_ns is None else stopped_ns / 1e9,
    }


def _forecast(found: Forecast) -> dict[str, object]:
    """All members of a forecast, with the least limits and what is recommended."""
    made = asdict(found)
    for name, plan in (("as_is", found.as_is), ("with_skip", found.with_skip)):
        least = plan.least_limit_seconds
        for search in ("find_least_limit", "find_least_bandwidth", "find_least_throttle"):
            del made[name][search]
        made[name]["least_limit_seconds"] = None if least is None else asdict(least)
    needed = recommendations(found)
    made["recommended"] = None if needed is None else asdict(needed)
    return made


def _seconds(migration: Migration, time_ns: int | None) -> float | None:
    """Seconds from the start of the migration."""
    return None if time_ns is None else (time_ns - migration.start_ns) / 1e9


def _date(clock: Clock, time_ns: int | None) -> str | None:
    return None if time_ns is None else clock.date(time_ns).isoformat()

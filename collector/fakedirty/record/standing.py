"""Where a migration stands, as JSON: its progress, the rounds in which nothing was won, and the dirty rate.

Times are dates, so that the JSON stays the same from one round to the next while the time left counts down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fakedirty.model.dirty_rate import dirty_rate
from fakedirty.model.forecast import Estimate
from fakedirty.model.migration import Migration
from fakedirty.model.progress import Outlook, Progress
from fakedirty.model.stall import Burden, Stretch

from .manifest import Clock

MEMBERS = ("progress", "stall", "dirty_rate", "vcpu_dirty_rates")
BOUNDS = ("low", "expected", "high")


def standing(migration: Migration, clock: Clock) -> dict[str, object]:
    """The :data:`MEMBERS` of a VM in the status."""
    stretch = migration.stretch
    rate = dirty_rate(migration.rounds, migration.block_visits)
    return {
        "progress": _progress(migration, clock),
        "stall": _stall(stretch) if stretch is not None and stretch.is_stall else None,
        "dirty_rate": None if rate is None else asdict(rate),
        "vcpu_dirty_rates": None if migration.vcpu_rates is None else dict(migration.vcpu_rates),  # bytes a second
    }


def _progress(migration: Migration, clock: Clock) -> dict[str, object]:
    of = migration.progress
    return {
        "outlook": str(of.outlook),
        "certain": of.certain,
        "ratio": None if of.ratio is None else math.floor(100 * of.ratio + 1e-9) / 100,
        "overdue": of.overdue_seconds is not None,
        "ends_at": None if of.total_seconds is None else _dates(of.total_seconds, migration.start_ns, clock),
    }


def _dates(total: Estimate, start_ns: int, clock: Clock) -> dict[str, str | None]:
    ends = ((name, getattr(total, name)) for name in BOUNDS)
    return {
        name: None if end is None else clock.date(start_ns + round(end * 1e9)).isoformat(timespec="milliseconds")
        for name, end in ends
    }


def _stall(stretch: Stretch) -> dict[str, object]:
    return {**asdict(stretch), "burden": str(stretch.burden)}


def progress_of(row: Mapping[str, Any], started: float, now: float) -> Progress:
    """The progress in a status, as it is `now`.

    Args:
        row: the member `progress`.
        started: start of the migration, in seconds since 1970.
        now: seconds since 1970.
    """
    ends = row["ends_at"]
    total = None
    if ends is not None:
        low, expected, high = (
            None if ends[name] is None else datetime.fromisoformat(ends[name]).timestamp() - started for name in BOUNDS
        )
        assert low is not None
        assert expected is not None
        total = Estimate(low, expected, high)
    outlook = Outlook(Outlook.parse(row["outlook"]))
    return Progress(outlook, row["ratio"], max(0.0, now - started), total, row["certain"])


def stretch_of(row: Mapping[str, Any] | None) -> Stretch | None:
    """The stall in a status."""
    if row is None:
        return None
    return Stretch(row["since_round"], row["rounds"], row["pages"], Burden(Burden.parse(row["burden"])))

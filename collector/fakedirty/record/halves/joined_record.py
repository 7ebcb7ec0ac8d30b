"""``joined.json``: one record of a migration, of its two halves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakedirty.record.directory_names import safe_name
from fakedirty.record.durable import sync_directory, write_json
from fakedirty.record.manifest import SCHEMA_VERSION

from .half import Half
from .match import Match

FILE = "joined.json"


def joined_record(found: Match) -> dict[str, Any]:
    """The columns of the record, and the summaries of both halves."""
    source, destination = found.source, found.destination
    low, high = (None, None) if found.downtime_ns is None else (ns / 1e6 for ns in found.downtime_ns)
    return {
        "schema_version": SCHEMA_VERSION,
        "source_vm": source.vm,
        "destination_vm": destination.vm,
        "source_host": source.host,
        "destination_host": destination.host,
        "source_id": source.migration_id,
        "destination_id": destination.migration_id,
        "source": str(source.directory),
        "destination": str(destination.directory),
        "uuid": source.uuid or destination.uuid,
        "matched_by": ", ".join(found.by),
        "started_at": _date(source.started_ns),
        "stopped_at": _date(source.stopped_ns),
        "arrived_at": _date(destination.started_ns),
        "resumed_at": _date(destination.resumed_ns),
        "ended_at": _date(source.ended_ns),
        "offset_low_seconds": found.offset_low_ns / 1e9,
        "offset_high_seconds": found.offset_high_ns / 1e9,
        "offset_by": found.offset_by,
        "downtime_low_ms": low,
        "downtime_high_ms": high,
        "downtime_reason": found.no_downtime,
        "downtime_ms": _count(source, "downtime_ms"),
        "total_time_ms": _count(source, "total_time_ms"),
        "sent_bytes": source.sent_bytes,
        "received_bytes": destination.sent_bytes,
        "postcopy_latency_ns": _count(destination, "postcopy_latency_ns"),
        "remarks": "; ".join(found.remarks),
        "source_migration": dict(source.summary),
        "destination_migration": dict(destination.summary),
    }


def write_joined(out: Path, found: Match) -> Path:
    """Write the record below `out`, in a directory of its own; one of the same two halves is replaced.

    Returns:
        The directory.

    Raises:
        OSError: it cannot be written.
    """
    directory = out / safe_name(found.source.vm) / _directory_name(found.source, found.destination)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / FILE, joined_record(found))
    sync_directory(directory)
    return directory


def _directory_name(source: Half, destination: Half) -> str:
    """It does not begin with a date, so that no reader takes it for a recording."""
    start = _time(source.started_ns).strftime("%Y%m%dT%H%M%SZ")
    return f"joined-{start}-{safe_name(source.migration_id)}-{safe_name(destination.migration_id)}"


def _count(half: Half, column: str) -> int | None:
    """A whole number of its summary; None where it has none."""
    value = half.summary.get(column)
    return value if isinstance(value, int) else None


def _date(time_ns: int | None) -> str | None:
    return None if time_ns is None else _time(time_ns).isoformat()


def _time(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / 1e9, UTC)

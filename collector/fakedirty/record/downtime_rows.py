"""Rows of downtime.csv: the parts of a blackout as a table, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fakedirty.model.downtime import Blackout, Part, PartKind
from fakedirty.model.migration import Migration

from .rows import Row, identity

UNEXPLAINED = "unexplained"


def downtime_rows(run_id: str, migration: Migration) -> Iterator[Row]:
    """The parts in the order in which they began, and last what none of them explains; none if no part was seen."""
    found = migration.blackout
    if found is None:
        return
    who = identity(run_id, migration)
    for part in found.parts:
        yield who | {
            "side": part.side,
            "part": str(part.kind),
            "device": part.device or None,
            "instance": part.instance,
            "start_seconds": _seconds(part.start_ns),
            "seconds": part.duration_ns / 1e9,
            "counted_seconds": _seconds(part.counted_ns),
        }
    if rest := found.unexplained_ns:
        empty = dict.fromkeys(("side", "device", "instance", "start_seconds"))
        yield who | empty | {"part": UNEXPLAINED, "seconds": rest / 1e9, "counted_seconds": rest / 1e9}


def blackout_of(table: Sequence[Mapping[str, Any]], outside: bool) -> Blackout | None:
    """The blackout whose rows these are; `outside`: it was measured from run state to run state."""
    parts = tuple(
        Part(
            PartKind(PartKind.parse(row["part"])),
            _nanoseconds(row["start_seconds"]),
            round(row["seconds"] * 1e9),
            _nanoseconds(row["counted_seconds"]),
            row["device"] or "",
            row["instance"],
        )
        for row in table
        if row["part"] != UNEXPLAINED
    )
    counted = [ns for row in table if (ns := _nanoseconds(row["counted_seconds"])) is not None]
    return Blackout(parts, sum(counted) if counted else None, outside) if parts else None


def _seconds(value: int | None) -> float | None:
    return None if value is None else value / 1e9


def _nanoseconds(value: float | None) -> int | None:
    return None if value is None else round(value * 1e9)

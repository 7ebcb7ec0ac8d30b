"""Rows of the tables, made from the model: the same for files and for JSON lines."""

from __future__ import annotations

from fakedirty.model.events import ModeChanged
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round

Row = dict[str, object]


def identity(run_id: str, migration: Migration) -> Row:
    """The columns that identify a migration, which are the first of every table."""
    return {"run_id": run_id, "migration_id": migration.migration_id, "vm": migration.vm}


def round_row(run_id: str, migration: Migration, counts: Round) -> Row:
    """One round; the keys are the columns of rounds.csv."""
    seen = {name: getattr(counts, name) for name in Round.__dataclass_fields__}
    words = {name: None if seen[name] is None else str(seen[name]) for name in ("kind", "mode")}
    return identity(run_id, migration) | seen | words | {"level": str(migration.level), "valid": counts.valid}


def toggle_row(run_id: str, migration: Migration, event: ModeChanged) -> Row:
    """One change of mode or hash; the keys are the columns of toggles.csv."""
    return identity(run_id, migration) | {
        "round": event.round,
        "seconds": (event.time_ns - migration.start_ns) / 1e9,
        "from_mode": str(event.from_mode),
        "to_mode": str(event.to_mode),
        "hash": event.hash,
        "read_back": None if (mode := migration.read_back(event)) is None else str(mode),
    }

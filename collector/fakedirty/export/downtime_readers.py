"""Reads where the downtime of the last migration went, its devices added up."""

from __future__ import annotations

from .readers import Values
from .tracked_migration import TrackedMigration


def downtime_parts(tracked: TrackedMigration) -> Values:
    """Seconds of the downtime by kind of part, and those that no part explains; nothing if it was not measured."""
    found = tracked.migration.blackout
    if found is None or (rest := found.unexplained_ns) is None:
        return
    for kind, nanoseconds in found.counted.items():
        yield (str(kind),), nanoseconds / 1e9
    yield ("unexplained",), rest / 1e9

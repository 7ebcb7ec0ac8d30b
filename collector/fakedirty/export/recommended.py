"""How the metrics of what is recommended are read: the least value of each kind with which a plan ends."""

from __future__ import annotations

from fakedirty.model.recommendation import recommendations

from .readers import Read, Values, estimates
from .tracked_migration import TrackedMigration


def recommended(name: str) -> Read:
    """Reads a field of the recommendation for each plan; nothing where nothing is recommended."""

    def read(tracked: TrackedMigration) -> Values:
        found = tracked.migration.forecast
        if found is not None and (needed := recommendations(found)) is not None:
            yield from estimates(getattr(needed.as_is, name), "as-is")
            yield from estimates(getattr(needed.with_skip, name), "skip")

    return read

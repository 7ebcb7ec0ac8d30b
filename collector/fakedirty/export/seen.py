"""What the exporter holds of one VM: its last migration, and what the ones before it have counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from fakedirty.model.migration import Migration

LabelValues = tuple[str, ...]


@dataclass(slots=True)
class Seen:
    """A migration that is, or was last, observed; `left` once the observer has turned away from it."""

    migration: Migration
    started_at: datetime
    left: bool = False

    @property
    def active(self) -> bool:
        """Whether it runs, as far as anyone knows."""
        return not self.left and not self.migration.ended

    @property
    def outcome(self) -> str | None:
        """How it ended, ``unfinished`` if that was not observed; None while it runs."""
        if self.active:
            return None
        return self.migration.state if self.migration.ended else "unfinished"


@dataclass(slots=True)
class Vm:
    """One VM. `past` sums, by metric and label values, what migrations before `last` have counted.

    Without it counters would fall back when the next migration of the VM begins.
    """

    last: Seen
    past: dict[str, dict[LabelValues, float]] = field(default_factory=dict)

"""A migration as the exporter tracks it: when it was first observed, and how much of it has been counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fakedirty.model.migration import Migration
from fakedirty.model.round import Round

LabelValues = tuple[str, ...]

ROUNDS_SHOWN = 64  # the latest rounds of the last migration: only they have series of their own


@dataclass(slots=True)
class TrackedMigration:
    """The last migration of a VM; `left_at` is when its observation ended.

    Its rounds and toggles only become more: those that were counted are not read again.
    """

    migration: Migration
    started_at: datetime
    left_at: datetime | None = None
    rounds_counted: int = 0
    toggles_counted: int = 0
    invalid_rounds: int = 0  # among those counted
    rounds_shown: int = ROUNDS_SHOWN  # how many of the latest have series; 0 while enough other VMs have them

    @property
    def active(self) -> bool:
        """Whether it runs, as far as the observer knows."""
        return self.left_at is None and not self.migration.ended

    @property
    def outcome(self) -> str | None:
        """How it ended, ``unfinished`` if the end was not observed; None while it runs."""
        if self.active:
            return None
        return self.migration.state if self.migration.ended else "unfinished"

    @property
    def valid(self) -> bool:
        """Whether it is valid, as :attr:`Migration.valid` says, but without reading all its rounds again."""
        if self.migration.totals is not None:
            return self.migration.valid is True
        return not (self.migration.partial or self.migration.lost_events or self.invalid_rounds)

    @property
    def shown(self) -> list[Round]:
        """The rounds that have series of their own."""
        rounds = self.migration.rounds[-self.rounds_shown :] if self.rounds_shown else []
        return list({r.round: r for r in rounds}.values())  # the same number twice would be a series twice

    @property
    def state(self) -> tuple[object, ...]:
        """All that samples are made of: while it is equal, the samples are."""
        migration = self.migration
        return (
            len(migration.rounds),
            len(migration.toggles),
            dict(migration.lost_events),
            migration.report,
            migration.state,
            migration.partial,
            migration.totals,
            migration.outside_downtime_ns,
            migration.limits,
            migration.refuted,
            migration.progress,
            self.left_at,
            self.rounds_shown,
        )

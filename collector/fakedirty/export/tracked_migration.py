"""A migration as the exporter holds it: with when it was told of, and how much of it has been counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fakedirty.model.migration import Migration
from fakedirty.model.round import Round

LabelValues = tuple[str, ...]

ROUNDS_SHOWN = 64  # bounds the series of the last migration's rounds: its latest ones


@dataclass(slots=True)
class TrackedMigration:
    """One that is, or was last, observed; `left_at` is when the observer turned away from it.

    Its rounds and toggles only become more: those counted already are not looked at again.
    """

    migration: Migration
    started_at: datetime
    left_at: datetime | None = None
    rounds_counted: int = 0
    toggles_counted: int = 0
    invalid_rounds: int = 0  # among those counted
    rounds_shown: int = ROUNDS_SHOWN  # the latest, which have series of their own; 0 while others are of more interest

    @property
    def active(self) -> bool:
        """Whether it runs, as far as anyone knows."""
        return self.left_at is None and not self.migration.ended

    @property
    def outcome(self) -> str | None:
        """How it ended, ``unfinished`` if that was not observed; None while it runs."""
        if self.active:
            return None
        return self.migration.state if self.migration.ended else "unfinished"

    @property
    def valid(self) -> bool:
        """Whether all that was counted can be believed, as the migration itself would say, without a look at it all."""
        if self.migration.totals is not None:
            return self.migration.valid is True
        return not (self.migration.partial or self.migration.lost_events or self.invalid_rounds)

    @property
    def shown(self) -> list[Round]:
        """The rounds that have series of their own."""
        rounds = self.migration.rounds[-self.rounds_shown :] if self.rounds_shown else []
        return list({r.round: r for r in rounds}.values())  # a number twice would be a series twice

    @property
    def state(self) -> tuple[object, ...]:
        """All that series are made of: where it is equal, they are."""
        migration = self.migration
        return (
            *(len(migration.rounds), len(migration.toggles), dict(migration.lost_events), migration.report),
            *(
                migration.state,
                migration.partial,
                migration.totals,
                migration.outside_downtime_ns,
                migration.limits,
                migration.refuted,
                self.left_at,
                self.rounds_shown,
            ),
        )

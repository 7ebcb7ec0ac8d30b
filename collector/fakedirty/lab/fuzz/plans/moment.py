"""The moment of an action in a fuzzed migration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment of an action while a migration runs, as in :class:`~fakedirty.lab.migrate.Step`.

    Where several conditions are given, the first one that is met counts.
    """

    after_round: int | None = None
    after_seconds: float | None = None
    in_state: str | None = None

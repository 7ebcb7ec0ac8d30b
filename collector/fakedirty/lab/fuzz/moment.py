"""When something is done in a fuzzed migration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is done in a migration that runs; see :class:`~.migrate.Step`. The first of them counts."""

    after_round: int | None = None
    after_seconds: float | None = None
    in_state: str | None = None

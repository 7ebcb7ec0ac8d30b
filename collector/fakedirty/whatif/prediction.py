"""What a recorded migration would have been with other settings: for each variant its end, and what was assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import RecordError
from fakedirty.model.enums import Mode
from fakedirty.model.forecast import Estimate
from fakedirty.model.migration import Migration
from fakedirty.model.prediction import DOWNTIME_LIMIT_SECONDS
from fakedirty.record.restore import restore

from .assumptions import pages_assumed, settings_assumed
from .guest_pages import GuestPages, estimate_pages
from .page_costs import PageCosts, costs_of
from .page_history import read_history
from .page_simulation import Played, play
from .variants import Choices, Variant, variants


@dataclass(frozen=True, slots=True)
class RecordedEnd:
    """How the recorded migration ended, as QEMU reported it; None where it did not.

    Attributes:
        vm: its name.
        migration_id: its id.
        outcome: the last state, or ``unfinished``.
        total_seconds: total time.
        downtime_seconds: downtime.
        sent_bytes: bytes of RAM that were sent.
        rounds: how many were recorded.
    """

    vm: str
    migration_id: str
    outcome: str
    total_seconds: float | None
    downtime_seconds: float | None
    sent_bytes: float | None
    rounds: int


@dataclass(frozen=True, slots=True)
class VariantPrediction:
    """The predicted end with some settings. An estimate is None where no end is expected.

    Attributes:
        variant: the settings.
        converges: an end is expected.
        certain: the best and the worst case agree with it on `converges`.
        total_seconds: total time.
        downtime_seconds: downtime.
        sent_bytes: bytes of RAM.
    """

    variant: Variant
    converges: bool
    certain: bool
    total_seconds: Estimate | None
    downtime_seconds: Estimate | None
    sent_bytes: Estimate | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The recorded migration, the same migration played with its own settings, and the variants."""

    recorded: RecordedEnd
    played: VariantPrediction
    variants: Sequence[VariantPrediction]
    assumptions: Sequence[str]


def what_if(directory: Path, choices: Choices) -> WhatIf:
    """Play a recorded migration with other settings.

    Args:
        directory: of the migration.
        choices: the settings.

    Raises:
        RecordError: the recording does not show enough.
        UsageError: a setting has no meaning.
    """
    migration = restore(directory)
    if migration.incoming:
        raise RecordError(f"{directory} was recorded on the destination, which sends nothing: give that of the source")
    recorded = _settings(migration)
    wanted = variants(recorded, choices)
    history = read_history(directory, migration)
    guest, costs = estimate_pages(history), costs_of(migration)
    rest = _Rest.of(migration)
    return WhatIf(
        _end(migration),
        _predict(guest, costs, recorded, rest),
        [_predict(guest, costs, each, rest) for each in wanted],
        [
            *pages_assumed(migration, history, guest),
            *settings_assumed(migration, costs, [recorded, *wanted]),
            f"setup, devices and the end take {rest.total * 1e3:.0f} ms, {rest.down * 1e3:.0f} ms of it stopped"
            + (f": {rest.unknown}" if rest.unknown else ", as they did"),
        ],
    )


@dataclass(frozen=True, slots=True)
class _Rest:
    """Seconds of the recorded migration that its rounds do not cover: setup, devices, the way to the end.

    `unknown` has why the end is not known; empty if it is.
    """

    total: float = 0.0
    down: float = 0.0
    unknown: str = ""

    @classmethod
    def of(cls, migration: Migration) -> _Rest:
        """They are those of the setup alone where the migration did not complete by pre-copy."""
        total, down = migration.reported("total-time"), migration.reported("downtime")
        unknown = ""
        if migration.postcopy_ns is not None:
            unknown = "the recorded migration went on by postcopy, which is not played"
        elif migration.state != "completed":
            unknown = "the recorded migration did not complete"
        elif total is None:
            unknown = "QEMU's report on the end of the recorded migration was not seen"
        if unknown or total is None:
            return cls(migration.rounds[0].start_seconds if migration.rounds else 0.0, unknown=unknown)
        rounds = sum(r.duration_seconds for r in migration.rounds)
        stopped = migration.rounds[-1].duration_seconds
        return cls(max(0.0, total / 1e3 - rounds), max(0.0, (down or 0) / 1e3 - stopped))


def _settings(migration: Migration) -> Variant:
    limit = migration.downtime_limit_ms
    return Variant(
        DOWNTIME_LIMIT_SECONDS if limit is None else limit / 1e3,
        tuple(r.mode is Mode.SKIP for r in migration.rounds) or (False,),
        xbzrle_cache=migration.reported("xbzrle-cache", "cache-size") or 0,
    )


def _end(migration: Migration) -> RecordedEnd:
    total, down = migration.reported("total-time"), migration.reported("downtime")
    completed = migration.state == "completed"
    return RecordedEnd(
        migration.vm,
        migration.migration_id,
        migration.state if migration.ended else "unfinished",
        total / 1e3 if completed and total is not None else None,
        down / 1e3 if completed and down is not None else None,
        migration.reported("ram", "transferred"),
        len(migration.rounds),
    )


def _predict(guest: GuestPages, costs: PageCosts, variant: Variant, rest: _Rest) -> VariantPrediction:
    best, expected, worst = (play(guest, costs, variant, bound) for bound in ("low", "expected", "high"))
    # rates without an upper bound are in the expected case alone, so the worst case may end where that one does not
    certain = len({end is None for end in (best, expected, worst)}) == 1
    if expected is None:
        return VariantPrediction(variant, False, certain, None, None, None)

    def estimate(of: Callable[[Played], float], more: float = 0.0) -> Estimate:
        middle = of(expected) + more
        low = middle if best is None else of(best) + more
        high = None if worst is None else max(middle, low, of(worst) + more)
        return Estimate(min(low, middle), middle, high)

    return VariantPrediction(
        variant,
        True,
        certain,
        estimate(lambda end: end.total_seconds, rest.total),
        estimate(lambda end: end.downtime_seconds, rest.down),
        estimate(lambda end: end.sent_bytes),
    )

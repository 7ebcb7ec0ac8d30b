"""The coverage of a fuzz run: in how many counted migrations each feature met each kind of toggle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from fakedirty.model.enums import Mode

from .plans.draw_attempt import BLOCKS_CHANGED, CACHE_RESIZED, SWITCHOVER_CHANGED
from .plans.faults import CONNECTION_FAULTS, DISK_FULL, LINK_IN_POSTCOPY, POSTCOPY_FAULTS
from .plans.multifd import multifd_features
from .plans.plan import DIRTY_LIMIT, RING
from .plans.possibilities import Possibilities
from .plans.route import FILE, POSTCOPY, route_features

ENOUGH = 5
HASH_CHANGE = "hash change"
KINDS = (*(f"{before}→{after}" for before, after in permutations(Mode, 2)), HASH_CHANGE)

BULK, LATER, SWITCHOVER = "in the bulk round", "in a later round", "in the switchover"
BEFORE, BETWEEN = "before the start", "between cancel and retry"
MOMENTS = (BEFORE, BULK, LATER, SWITCHOVER, BETWEEN)
CANCELLED, RETRIED = "cancelled", "retried"
FORCED = "forced sync"
AUDIT = ("audit off", "audit on")


@dataclass(frozen=True, slots=True)
class AdoptedToggle:
    """A toggle that took effect: its kinds, and the features that it met."""

    kinds: tuple[str, ...]
    features: tuple[str, ...]


def toggle_kinds(before: tuple[Mode, str], after: tuple[Mode, str]) -> tuple[str, ...]:
    """The kinds of a toggle: a change of mode, a change of the hash in use, both, or none.

    Args:
        before: mode and hash before the toggle.
        after: mode and hash after it.
    """
    change = (f"{before[0]}→{after[0]}",) if before[0] is not after[0] else ()
    in_use = Mode.OFF not in (before[0], after[0])
    return (*change, HASH_CHANGE) if in_use and before[1] != after[1] else change


class Coverage:
    """A table: for each feature (row) and each kind of toggle (column), the migrations in which they met."""

    def __init__(self, possibilities: Possibilities) -> None:
        self.features = _features(possibilities)
        self.kinds = KINDS if len(possibilities.hashes) > 1 else KINDS[:-1]  # with one hash there is no hash change
        self._migrations: Counter[tuple[str, str]] = Counter()

    def add(self, toggles: Iterable[AdoptedToggle]) -> None:
        """Add one migration, with all its toggles. It counts once in each cell."""
        self._migrations.update(
            {(feature, kind) for toggle in toggles for feature in toggle.features for kind in toggle.kinds}
        )

    def count(self, feature: str, kind: str) -> int:
        """The number of migrations in which they met."""
        return self._migrations[feature, kind]

    def cells_below(self, enough: int = ENOUGH) -> list[tuple[str, str]]:
        """The cells that have fewer than `enough` migrations."""
        cells = [(feature, kind) for feature in self.features for kind in self.kinds]
        return [cell for cell in cells if self._migrations[cell] < enough]

    def rows(self) -> dict[str, dict[str, int]]:
        """The table, for JSON."""
        return {feature: {kind: self.count(feature, kind) for kind in self.kinds} for feature in self.features}


def _features(possibilities: Possibilities) -> tuple[str, ...]:
    """All features that a toggle can meet."""
    switched = ("xbzrle", "auto-converge", "pause-before-switchover", "fake-dirty-switchover")
    return (
        *possibilities.accelerators,
        *((RING, DIRTY_LIMIT) if possibilities.ring else ()),
        *possibilities.memories,
        *(f"{count} vcpu" for count in range(1, possibilities.vcpus + 1)),
        *(f"{name} {state}" for name in switched for state in ("on", "off")),
        *multifd_features(possibilities.compressions),
        *route_features(possibilities.routes),
        *possibilities.hashes,
        *(AUDIT if possibilities.audit else ()),
        CACHE_RESIZED,
        SWITCHOVER_CHANGED,
        BLOCKS_CHANGED,
        FORCED,
        CANCELLED,
        RETRIED,
        *(CONNECTION_FAULTS if possibilities.survives_faults else ()),
        *((DISK_FULL,) if FILE in possibilities.routes else ()),
        *_postcopy_faults(possibilities),
        *(moment for moment in MOMENTS if not (possibilities.refuses_late and moment == SWITCHOVER)),
    )


def _postcopy_faults(possibilities: Possibilities) -> tuple[str, ...]:
    """Faults in postcopy, and in the stop before it."""
    if POSTCOPY not in possibilities.routes:
        return ()
    return POSTCOPY_FAULTS if possibilities.survives_faults else (LINK_IN_POSTCOPY,)

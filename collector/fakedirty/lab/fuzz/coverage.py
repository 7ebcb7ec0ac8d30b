"""What a fuzz run has covered: which feature met which kind of toggle, in how many migrations that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from fakedirty.model.enums import Mode

from .faults import FULL, IN_POSTCOPY, OF_A_CONNECTION, OF_POSTCOPY
from .multifd import multifd_features
from .plan import DIRTY_LIMIT, RING, Possibilities
from .route import FILE, POSTCOPY, way_features

ENOUGH = 5
HASH_CHANGE = "hash change"
KINDS = (*(f"{before}→{after}" for before, after in permutations(Mode, 2)), HASH_CHANGE)

BULK, LATER, SWITCHOVER = "in the bulk round", "in a later round", "in the switchover"
BEFORE, BETWEEN = "before the start", "between cancel and retry"
MOMENTS = (BEFORE, BULK, LATER, SWITCHOVER, BETWEEN)
CANCELLED, RETRIED = "cancelled", "retried"
FORCED = "forced sync"
CACHE_RESIZED, SWITCHOVER_CHANGED = "xbzrle cache resized", "fake-dirty-switchover changed"
BLOCKS_CHANGED = "RAM blocks changed"
AUDIT = ("audit off", "audit on")


def features(possible: Possibilities) -> tuple[str, ...]:
    """Everything that a toggle can meet: the rows of the table."""
    switched = ("xbzrle", "auto-converge", "pause-before-switchover", "fake-dirty-switchover")
    return (
        *possible.accelerators,
        *((RING, DIRTY_LIMIT) if possible.ring else ()),
        *possible.memories,
        *(f"{count} vcpu" for count in range(1, possible.vcpus + 1)),
        *(f"{name} {state}" for name in switched for state in ("on", "off")),
        *multifd_features(possible.compressions),
        *way_features(possible.ways),
        *possible.hashes,
        *(AUDIT if possible.audit else ()),
        CACHE_RESIZED,
        SWITCHOVER_CHANGED,
        BLOCKS_CHANGED,
        FORCED,
        CANCELLED,
        RETRIED,
        *(OF_A_CONNECTION if possible.breaks else ()),
        *((FULL,) if FILE in possible.ways else ()),
        *_of_postcopy(possible),
        *(moment for moment in MOMENTS if not (possible.decides and moment == SWITCHOVER)),
    )


def _of_postcopy(possible: Possibilities) -> tuple[str, ...]:
    """What breaks in postcopy, and in the stop before it."""
    if POSTCOPY not in possible.ways:
        return ()
    return OF_POSTCOPY if possible.breaks else (IN_POSTCOPY,)


def kinds(possible: Possibilities) -> tuple[str, ...]:
    """Every kind of toggle: the columns. With one hash there is none to change to."""
    return KINDS if len(possible.hashes) > 1 else KINDS[:-1]


@dataclass(frozen=True, slots=True)
class Taken:
    """A toggle that took effect: what it was, and what it met."""

    kinds: tuple[str, ...]
    features: tuple[str, ...]


def toggle_kinds(before: tuple[Mode, str], after: tuple[Mode, str]) -> tuple[str, ...]:
    """What a toggle is: a change of mode, a change of the hash in use, both, or nothing."""
    change = (f"{before[0]}→{after[0]}",) if before[0] is not after[0] else ()
    in_use = Mode.OFF not in (before[0], after[0])
    return (*change, HASH_CHANGE) if in_use and before[1] != after[1] else change


class Coverage:
    """The table: for each feature and kind of toggle, the migrations in which they met."""

    def __init__(self, possible: Possibilities) -> None:
        self.features = features(possible)
        self.kinds = kinds(possible)
        self._met: Counter[tuple[str, str]] = Counter()

    def add(self, toggles: Iterable[Taken]) -> None:
        """One more migration that counts."""
        self._met.update({(feature, kind) for taken in toggles for feature in taken.features for kind in taken.kinds})

    def count(self, feature: str, kind: str) -> int:
        """In how many migrations they met."""
        return self._met[feature, kind]

    def holes(self, enough: int = ENOUGH) -> list[tuple[str, str]]:
        """The cells that are below `enough`."""
        cells = [(feature, kind) for feature in self.features for kind in self.kinds]
        return [cell for cell in cells if self._met[cell] < enough]

    def rows(self) -> dict[str, dict[str, int]]:
        """The table, for JSON."""
        return {feature: {kind: self.count(feature, kind) for kind in self.kinds} for feature in self.features}

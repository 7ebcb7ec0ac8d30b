"""Draws toggles: a walk through modes and hashes in which every kind of toggle comes up again soon."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise, permutations

from fakedirty.model.enums import Mode

from .chance import Chance
from .moment import Moment
from .plan import Toggle
from .possibilities import Possibilities

HASTY_SHARE = 0.15
HASH_STAYS, AUDIT_STAYS = 0.65, 0.9
HASH_RETURNS = 0.4  # to the one before the last, whose records QEMU must have forgotten

CHANGES = tuple(permutations(Mode, 2))

#: By mode: the tours that begin and end at it. A tour makes every change of mode once; each entry is the next mode.
TOURS = {
    start: tuple(
        tuple(after for _before, after in order)
        for order in permutations(CHANGES)
        if order[0][0] is start and all(first[1] is second[0] for first, second in pairwise(order))
    )
    for start in Mode
}
TOUR_SHARE = 0.8  # of toggles that follow a tour; the others go to any mode, so that a mode may stay as it is
ANY_MODE = tuple(Mode)


class HashChoice(Enum):
    """The next hash: the same, another one, or the one before the last."""

    STAYS, OTHER, RETURNS = range(3)


class ToggleWalk:
    """Draws toggles one after the other, over all attempts of a plan."""

    def __init__(self, chance: Chance, possibilities: Possibilities) -> None:
        self._chance = chance
        self._possibilities = possibilities
        self._tour: list[Mode] = []
        self._hashes = ("", "")  # the one before the last, and the last one
        self._audit: bool | None = None
        self.mode = Mode.OFF

    def toggles(self, moments: Sequence[Moment]) -> tuple[Toggle, ...]:
        """Draw one toggle for each moment, in their order."""
        return tuple(self.toggle(moment) for moment in moments)

    def toggle(self, moment: Moment, mode: Mode | None = None, change: HashChoice | None = None) -> Toggle:
        """Draw the next toggle.

        Hash and audit mostly stay: a change of them makes all pages first ones.

        Args:
            moment: when it is set.
            mode: its mode; default: drawn.
            change: what becomes of the hash; default: drawn.
        """
        chance = self._chance
        on_tour, any_mode, which = chance.happens(TOUR_SHARE), chance.choice(ANY_MODE), chance.between(0, 1)
        hash_draws = chance.between(0, 1), chance.happens(HASH_STAYS), chance.happens(HASH_RETURNS)
        audit_stays, audit, hasty = chance.happens(AUDIT_STAYS), chance.happens(0.5), chance.happens(HASTY_SHARE)
        if mode is None and on_tour:
            self._tour = self._tour or list(TOURS[self.mode][int(which * len(TOURS[self.mode]))])
            mode = self._tour.pop(0)
        else:
            mode, self._tour = mode or any_mode, []
        self.mode = mode
        self._change_hash(*hash_draws, change)
        if self._possibilities.audit and (self._audit is None or not audit_stays):
            self._audit = audit
        return Toggle(mode, self._hashes[1], self._audit, moment, hasty)

    def _change_hash(self, which: float, stays: bool, returns: bool, change: HashChoice | None) -> None:
        change = change or (HashChoice.STAYS if stays else HashChoice.RETURNS if returns else HashChoice.OTHER)
        before, last = self._hashes
        if last and change is HashChoice.STAYS:
            return
        hashes = self._possibilities.hashes
        others = [name for name in hashes if name != last] or hashes
        other = others[int(which * len(others))]
        self._hashes = last, before if before and change is HashChoice.RETURNS else other

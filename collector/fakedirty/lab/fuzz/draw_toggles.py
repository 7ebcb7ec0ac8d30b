"""Draws the toggles of one attempt: a walk through modes and hashes that leaves out no kind of toggle for long."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise, permutations

from fakedirty.model.enums import Mode

from .chance import Chance
from .moment import Moment
from .plan import Possibilities, Toggle

HASTY_SHARE = 0.15
HASH_STAYS, AUDIT_STAYS = 0.65, 0.9
HASH_RETURNS = 0.4  # to the one before: what was recorded by it must be forgotten

CHANGES = tuple(permutations(Mode, 2))

#: From each mode, the modes to go to so that every change is made once, in every possible order.
ROUNDS = {
    start: tuple(
        tuple(after for _before, after in order)
        for order in permutations(CHANGES)
        if order[0][0] is start and all(first[1] is second[0] for first, second in pairwise(order))
    )
    for start in Mode
}
ROUND_SHARE = 0.8  # of walks that go by rounds; the others stay now and then, and are left with a change of hash
ANYWHERE = tuple(Mode)


class HashChoice(Enum):
    """What becomes of the hash: one that was not in use, or the one from before the last."""

    STAYS, OTHER, RETURNS = range(3)


class ToggleWalk:
    """Modes, hashes and audits, one after the other, from one attempt to the next."""

    def __init__(self, chance: Chance, possible: Possibilities) -> None:
        self._chance = chance
        self._possible = possible
        self._rest: list[Mode] = []
        self._hashes = ("", "")  # the one before, and the last
        self._audit: bool | None = None
        self.mode = Mode.OFF

    def toggles(self, moments: Sequence[Moment]) -> tuple[Toggle, ...]:
        """One for each moment, in their order."""
        return tuple(self.toggle(moment) for moment in moments)

    def toggle(self, moment: Moment, mode: Mode | None = None, change: HashChoice | None = None) -> Toggle:
        """The next, to a mode and with a change of the hash if they are given.

        Hash and audit mostly stay: their change makes all pages first ones.
        """
        chance = self._chance
        by_rounds, anywhere, which = chance.happens(ROUND_SHARE), chance.of(ANYWHERE), chance.between(0, 1)
        drawn = chance.between(0, 1), chance.happens(HASH_STAYS), chance.happens(HASH_RETURNS)
        audit_stays, audit, hasty = chance.happens(AUDIT_STAYS), chance.happens(0.5), chance.happens(HASTY_SHARE)
        if mode is None and by_rounds:
            self._rest = self._rest or list(ROUNDS[self.mode][int(which * len(ROUNDS[self.mode]))])
            mode = self._rest.pop(0)
        else:
            mode, self._rest = mode or anywhere, []
        self.mode = mode
        self._change_hash(*drawn, change)
        if self._possible.audit and (self._audit is None or not audit_stays):
            self._audit = audit
        return Toggle(mode, self._hashes[1], self._audit, moment, hasty)

    def _change_hash(self, which: float, stays: bool, returns: bool, change: HashChoice | None) -> None:
        change = change or (HashChoice.STAYS if stays else HashChoice.RETURNS if returns else HashChoice.OTHER)
        before, last = self._hashes
        if last and change is HashChoice.STAYS:
            return
        others = [name for name in self._possible.hashes if name != last] or self._possible.hashes
        other = others[int(which * len(others))]
        self._hashes = last, before if before and change is HashChoice.RETURNS else other

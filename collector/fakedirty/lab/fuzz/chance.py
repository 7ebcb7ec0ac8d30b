"""Draws from a seed: the same again for the same seed, whatever there is to choose from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws that take as much from the generator whatever there is to choose from."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def between(self, low: float, high: float) -> float:
        """A number, evenly distributed."""
        return low + (high - low) * self._random.random()

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.between(low, high + 1))

    def of(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.whole(0, len(choices) - 1)]

    def happens(self, share: float) -> bool:
        """Whether what happens in such a share of cases happens now."""
        return self.between(0, 1) < share

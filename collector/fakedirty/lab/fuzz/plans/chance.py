"""Random draws from a seed: the same seed gives the same draws again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A random generator whose draws each take one number from it, however many choices there are.

    So a plan keeps all its other draws where one draw has fewer choices.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def between(self, low: float, high: float) -> float:
        """A number from `low` up to `high`, evenly distributed."""
        return low + (high - low) * self._random.random()

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return int(self.between(low, high + 1))

    def choice(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.integer(0, len(choices) - 1)]

    def happens(self, share: float) -> bool:
        """True with probability `share`."""
        return self.between(0, 1) < share

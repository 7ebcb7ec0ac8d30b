"""The order of the runs of a benchmark: drawn for each repetition, so that a drift of the host meets all arms alike."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def shuffled(repetitions: int, seed: int, items: Sequence[Item]) -> Iterator[tuple[int, Item]]:
    """Yield every item once in each repetition, counted from 1, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        order = list(items)
        chance.shuffle(order)
        for item in order:
            yield repetition, item

"""The order of a benchmark's runs: drawn anew in each repetition, so that what drifts meets all arms alike."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def shuffled(repetitions: int, seed: int, items: Sequence[Item]) -> Iterator[tuple[int, Item]]:
    """In each repetition, counted from 1, every item once, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        order = list(items)
        chance.shuffle(order)
        for item in order:
            yield repetition, item

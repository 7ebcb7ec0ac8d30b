"""The order of a campaign: drawn from its seed, in blocks that each have every treatment once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from .spec import Spec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run: its name, its block, and its level of each factor."""

    run: str
    block: int
    workload: str
    memory_mib: int
    treatment: str
    mbit: int
    vcpus: int
    repetition: int


def plan(spec: Spec, treatments: Sequence[str]) -> list[PlannedRun]:
    """All runs in their order, with the `treatments` that are not left out.

    A block is one repetition of a cell: whatever drifts in the meantime meets all of its treatments alike. In each
    repetition the cells come in an order drawn anew, and the treatments in each block.
    """
    chance = random.Random(spec.seed)
    factors = spec.factors
    cells = list(product(factors.workload, factors.memory_mib, factors.mbit, factors.vcpus))
    blocks = [(repetition, cell) for repetition in range(1, spec.repetitions + 1) for cell in _drawn(cells, chance)]
    runs = [
        (block, repetition, cell, treatment)
        for block, (repetition, cell) in enumerate(blocks, 1)
        for treatment in _drawn(treatments, chance)
    ]
    return [
        PlannedRun(f"{number:04d}", block, workload, memory, treatment, mbit, vcpus, repetition)
        for number, (block, repetition, (workload, memory, mbit, vcpus), treatment) in enumerate(runs, 1)
    ]


def _drawn(of: Sequence[T], chance: random.Random) -> list[T]:
    order = list(of)
    chance.shuffle(order)
    return order

"""The order of a campaign: drawn from its seed, in blocks. Each block has every treatment once."""

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
    """One run of a campaign: its name, its block, and its value of each factor.

    A block is one repetition of a cell (workload, memory, bandwidth, vCPUs) and has every treatment once.
    """

    run: str
    block: int
    workload: str
    memory_mib: int
    treatment: str
    mbit: int
    vcpus: int
    repetition: int


def plan(spec: Spec, treatments: Sequence[str]) -> list[PlannedRun]:
    """Draw the order of a campaign.

    Each repetition draws an order of the cells, and each block an order of its treatments. What drifts over the hours
    then affects all treatments of a block alike.

    Args:
        spec: the campaign file; the order follows from its seed.
        treatments: those that QEMU takes.

    Returns:
        All runs, in their order.
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

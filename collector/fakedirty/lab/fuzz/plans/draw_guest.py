"""Draws the guest of a plan: its page sets, its pauses and its memory."""

from __future__ import annotations

from dataclasses import replace

from fakedirty.lab.guests.workload import BAREMETAL_FIRST, BAREMETAL_RESERVED_TOP, MIB_FRAMES, Workload

from .chance import Chance

MEMORY_MIB = 8  # the size of a guest is a multiple of it
MOST_PAGES = {"fake": 2500, "changed": 400, "zero": 500, "aba": 500, "phased": 600, "untouched": 600}
LEAST_PAGES = {"fake": 300, "changed": 30, "zero": 30, "aba": 30, "phased": 0, "untouched": 0}
STRIDES = (1, 1, 2, 3)
PAUSES_MS = (0, 0, 1, 2, 5, 20)


def draw_guest(chance: Chance) -> Workload:
    """Draw a workload.

    It always has pages of the sets A-B-A and zero, which a careless skip leaves wrong.
    """
    sets = {name: chance.integer(LEAST_PAGES[name], most) for name, most in MOST_PAGES.items()}
    stride = chance.choice(STRIDES)
    memory = _memory_mib(sum(sets.values()) * stride)
    return Workload(**sets, pause_ms=chance.choice(PAUSES_MS), memory_mib=memory, stride=stride)


def largest_sets(workload: Workload) -> Workload:
    """The same workload with as many pages as are ever drawn, written without a pause."""
    frames = sum(MOST_PAGES.values()) * workload.stride
    return replace(workload, **MOST_PAGES, pause_ms=0, memory_mib=_memory_mib(frames))


def most_mib() -> int:
    """The memory of the largest guest that is drawn, in MiB."""
    return _memory_mib(sum(MOST_PAGES.values()) * max(STRIDES))


def _memory_mib(frames: int) -> int:
    """The memory of a guest whose sets take so many frames, in MiB."""
    return -(-(frames + BAREMETAL_FIRST + BAREMETAL_RESERVED_TOP) // (MEMORY_MIB * MIB_FRAMES)) * MEMORY_MIB

"""The step that every path of a migration has, alone: a page is copied, the copy hashed, and looked what it is.

A program that is built with QEMU takes it on one thread, and on two that share the pages as multifd's channels do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .qemu_benchmarks import nanoseconds

PROGRAM = "benchmark-fake-dirty-step"  # beside QEMU
TOLD = re.compile(r"^# step, ([12]) threads?: ([0-9.]+) ns per page", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StepJob:
    """One run, on one thread and on two."""

    repetition: int


@dataclass(frozen=True, slots=True)
class StepSpeed:
    """Nanoseconds for a page of 4096 bytes: the time of sixteen passes over a stream of 1 GiB, by the pages of all."""

    job: StepJob
    one_ns: float
    two_ns: float

    @property
    def speedup(self) -> float:
        """How many times as fast two threads are."""
        return self.one_ns / self.two_ns


def step_jobs(repetitions: int) -> Iterator[StepJob]:
    """One for each repetition."""
    return map(StepJob, range(1, repetitions + 1))


def measure_step(job: StepJob, qemu: Path) -> StepSpeed:
    """Run the program that was built with QEMU. LabError if there is none, or it fails."""
    told = nanoseconds(PROGRAM, qemu, TOLD, frozenset({"1", "2"}))
    return StepSpeed(job, told["1"], told["2"])

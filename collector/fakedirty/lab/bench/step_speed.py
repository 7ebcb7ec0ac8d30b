"""The speed of the step that every path of a migration takes for a page: copy it, hash the copy, classify it.

A program that is built with QEMU measures it on one thread, and on two that share the pages as channels of multifd do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .qemu_benchmarks import nanoseconds

PROGRAM = "benchmark-fake-dirty-step"  # beside QEMU
TIME_LINE = re.compile(r"^# step, ([12]) threads?: ([0-9.]+) ns per page", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StepJob:
    """One run of the program, on one thread and on two."""

    repetition: int


@dataclass(frozen=True, slots=True)
class StepSpeed:
    """Nanoseconds for a page of 4096 bytes: the time of sixteen passes over a stream of 1 GiB, by all their pages."""

    job: StepJob
    one_ns: float
    two_ns: float

    @property
    def speedup(self) -> float:
        """How many times faster two threads are than one."""
        return self.one_ns / self.two_ns


def step_jobs(repetitions: int) -> Iterator[StepJob]:
    """One job for each repetition."""
    return map(StepJob, range(1, repetitions + 1))


def measure_step(job: StepJob, qemu: Path) -> StepSpeed:
    """Run the program that was built with `qemu`; LabError if there is none, or if it fails."""
    times = nanoseconds(PROGRAM, qemu, TIME_LINE, frozenset({"1", "2"}))
    return StepSpeed(job, times["1"], times["2"])

"""The speed of the hashes alone, measured by a program that is built with QEMU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .qemu_benchmarks import nanoseconds

PROGRAM = "benchmark-fake-dirty-hash"  # beside QEMU
READ = "read"  # its name for reading the pages without a hash
TIME_LINE = re.compile(r"^# (\S+): ([0-9.]+) ns per page", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HashJob:
    """One run of the program, which measures all hashes."""

    repetition: int


@dataclass(frozen=True, slots=True)
class HashSpeed:
    """By hash, and for :data:`READ`: nanoseconds for a page of 4096 bytes, on a stream of 1 GiB."""

    job: HashJob
    ns_per_page: Mapping[str, float]


def hash_jobs(repetitions: int) -> Iterator[HashJob]:
    """One job for each repetition."""
    return map(HashJob, range(1, repetitions + 1))


def measure_hashes(job: HashJob, qemu: Path) -> HashSpeed:
    """Run the program that was built with `qemu`; LabError if there is none, or if it fails."""
    return HashSpeed(job, nanoseconds(PROGRAM, qemu, TIME_LINE, frozenset({READ})))

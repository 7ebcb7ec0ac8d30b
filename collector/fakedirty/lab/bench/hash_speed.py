"""The speed of the series' hashes alone: its own benchmark, which is built with QEMU, run again and again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .qemu_benchmarks import nanoseconds

PROGRAM = "benchmark-fake-dirty-hash"  # beside QEMU
READ = "read"  # what it calls the reading of the pages, without a hash
TOLD = re.compile(r"^# (\S+): ([0-9.]+) ns per page", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HashJob:
    """One run, of all hashes."""

    repetition: int


@dataclass(frozen=True, slots=True)
class HashSpeed:
    """Nanoseconds that a page of 4096 bytes takes by hash, and to :data:`READ`, on a stream of 1 GiB."""

    job: HashJob
    ns_per_page: Mapping[str, float]


def hash_jobs(repetitions: int) -> Iterator[HashJob]:
    """One for each repetition."""
    return map(HashJob, range(1, repetitions + 1))


def measure_hashes(job: HashJob, qemu: Path) -> HashSpeed:
    """Run the benchmark that was built with QEMU. LabError if there is none, or it fails."""
    return HashSpeed(job, nanoseconds(PROGRAM, qemu, TOLD, frozenset({READ})))

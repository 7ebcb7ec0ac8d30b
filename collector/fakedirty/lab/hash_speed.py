"""The speed of the series' hashes alone: its own benchmark, which is built with QEMU, run again and again."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError

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
    program = qemu.parent / PROGRAM
    if not program.exists():
        raise LabError(f"there is no {PROGRAM} beside {qemu}: build both with `fakedirty qemu build`")
    run = subprocess.run([program, "--tap"], capture_output=True, text=True, check=False)
    told = {name: float(ns) for name, ns in TOLD.findall(run.stdout)}
    if run.returncode != 0 or READ not in told:
        raise LabError(
            f"{program} failed with exit status {run.returncode}: {run.stderr.strip() or run.stdout.strip()}"
        )
    return HashSpeed(job, told)

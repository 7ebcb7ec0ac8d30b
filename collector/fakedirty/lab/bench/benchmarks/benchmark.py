"""The parts of a benchmark, and the options of the command line that it is built from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty.lab.qemu import qemu_binary, unpatched_binary


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """The options of ``fakedirty bench``. A benchmark takes those that it has a use for.

    Attributes:
        name: of the benchmark.
        repetitions: of every job.
        seed: of the order of the jobs.
        time_limit: seconds, after which a migration is let through.
        qemu: a binary with the patch series; None: the one that was built.
        unpatched: a binary without it; None: the one that was built.
        mbit: the rate of the link in Mbit/s; None: that of the benchmark.
        mixes: the mixes of writes to measure; empty: all of them.
        treatments: the treatments to measure; empty: all of them.
        arms: the arms to measure; empty: all of them.
    """

    name: str
    repetitions: int
    seed: int = 1
    time_limit: float = 25.0
    qemu: Path | None = None
    unpatched: Path | None = None
    mbit: float | None = None
    mixes: Sequence[str] = ()
    treatments: Sequence[str] = ()
    arms: Sequence[str] = ()

    def qemu_path(self) -> Path:
        """The binary with the patch series."""
        return self.qemu or qemu_binary()

    def unpatched_path(self) -> Path:
        """The binary without the patch series."""
        return self.unpatched or unpatched_binary()

    def link_bits(self, default: int) -> int:
        """The rate of the link in bits per second."""
        return default if self.mbit is None else int(self.mbit * 1_000_000)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: jobs, and a run for each of them.

    Attributes:
        settings: results are only continued if these are equal.
        jobs: in the order in which they are measured.
        measuring: sets the hosts up, and yields the function that measures a job.
        run_type: the dataclass of a run; its field ``job`` is the job.
        job_type: the dataclass of a job.
        line: a run on one line of text.
        tables: the tables of all runs.
        most_seconds: the longest time of one job.
        is_wrong: whether the memories of a run differ.
        informed: what the measuring function gets for a job, made of the job and the runs that there are by then.
    """

    settings: dict[str, Any]
    jobs: Sequence[Any]
    measuring: Callable[[], AbstractContextManager[Callable[[Any], Any]]]
    run_type: type[Any]
    job_type: type[Any]
    line: Callable[[Any], str]
    tables: Callable[[Sequence[Any]], Iterable[object]]
    most_seconds: float
    is_wrong: Callable[[Any], bool] = lambda run: False
    informed: Callable[[Any, Mapping[Any, Any]], Any] = lambda job, runs: job

    def measure(self, jobs: Sequence[Any], runs: Mapping[Any, Any]) -> Generator[Any, None, None]:
        """Measure these jobs one after the other, and yield the run of each.

        Args:
            jobs: those without a run.
            runs: the runs by job; who gets a run adds it before the next one is measured.
        """
        if not jobs:
            return
        with self.measuring() as measure:
            for job in jobs:
                yield measure(self.informed(job, runs))

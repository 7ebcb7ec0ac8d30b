"""What a guest gets done, followed while it runs: samples of throughput and latency, on one clock for both sides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fakedirty.errors import LabError

POLL_SECONDS = 0.02

SOURCE, DESTINATION = "source", "destination"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a guest got done in an interval, by its own account; None where it does not say."""

    operations_per_second: float
    latency_us: float | None = None
    latency_p99_us: float | None = None


#: takes a line of what the guest says; None where that is no sample, LabError where it says that it works no more
Meter = Callable[[str], Sample | None]


@dataclass(frozen=True, slots=True)
class ThroughputSamples:
    """A sample, and when it was told (monotonic): its interval ends there."""

    side: str
    time: float
    sample: Sample


class ThroughputReader:
    """Reads a file as it grows; the samples so far are in `heard`."""

    def __init__(self, side: str, path: Path, meter: Meter) -> None:
        self._side = side
        self._path = path
        self._meter = meter
        self._at = 0
        self._rest = ""
        self.heard: list[ThroughputSamples] = []

    def look(self, now: float) -> None:
        """Take in what has come since the last look. A guest that has not begun has no file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
        except FileNotFoundError:
            return
        self._at += len(new)
        *lines, self._rest = (self._rest + new.decode("ascii", "replace")).split("\n")
        for line in lines:
            if (sample := self._meter(line.rstrip("\r"))) is not None:
                self.heard.append(ThroughputSamples(self._side, now, sample))


@contextmanager
def followed(followers: Sequence[ThroughputReader]) -> Iterator[None]:
    """Follow them in a thread of its own while the block runs.

    LabError at its end, unless it failed by itself, where a guest stopped working meanwhile; no more is heard then.
    """
    stop = threading.Event()
    failures: list[LabError] = []

    def follow() -> None:
        try:
            ended = False
            while not ended:
                ended = stop.wait(POLL_SECONDS)
                for follower in followers:
                    follower.look(time.monotonic())
        except LabError as error:
            failures.append(error)

    thread = threading.Thread(target=follow, name="service")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


@dataclass(frozen=True, slots=True)
class Medians:
    """Operations a second before, during and after the migration; None where there was no sample."""

    before: float | None
    during: float | None
    after: float | None

    @property
    def degradation(self) -> float | None:
        """By what share the guest got less done during the migration than before."""
        return None if not self.before or self.during is None else 1 - self.during / self.before


def medians(heard: Sequence[ThroughputSamples], start: float, end: float) -> Medians:
    """By when a sample was told: between `start` and `end` of the migration, or on which side of them."""
    source = [each for each in heard if each.side == SOURCE]
    parts = (
        [each for each in source if each.time <= start],
        [each for each in source if start < each.time <= end],
        [each for each in heard if each.side == DESTINATION],
    )
    return Medians(*(_median(part) for part in parts))


def _median(heard: Sequence[ThroughputSamples]) -> float | None:
    return median(each.sample.operations_per_second for each in heard) if heard else None

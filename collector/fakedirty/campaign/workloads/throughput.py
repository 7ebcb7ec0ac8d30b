"""The throughput of a guest, read while it runs: samples of both sides, on one clock."""

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
class ThroughputSample:
    """What a guest reports of one interval. Latencies are None if it reports none."""

    operations_per_second: float
    latency_us: float | None = None
    latency_p99_us: float | None = None


#: Reads one line of a guest's output; None if the line is no sample. LabError if the guest reports that it has stopped.
Meter = Callable[[str], ThroughputSample | None]


@dataclass(frozen=True, slots=True)
class TimedSample:
    """A sample of one side, with the time at which it was read (CLOCK_MONOTONIC, seconds): its interval ends there."""

    side: str
    time: float
    sample: ThroughputSample


class ThroughputReader:
    """Reads the output of one side's guest as it grows.

    Args:
        side: SOURCE or DESTINATION.
        path: the file that the guest's output goes to. It may not exist yet.
        meter: reads its lines.
    """

    def __init__(self, side: str, path: Path, meter: Meter) -> None:
        self._side = side
        self._path = path
        self._meter = meter
        self._offset = 0
        self._rest = ""
        self.samples: list[TimedSample] = []

    def look(self, now: float) -> None:
        """Read what has been added since the last look.

        Args:
            now: the time, CLOCK_MONOTONIC, seconds.

        Raises:
            LabError: the guest reports that it has stopped.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new.decode("ascii", "replace")).split("\n")
        for line in lines:
            if (sample := self._meter(line.rstrip("\r"))) is not None:
                self.samples.append(TimedSample(self._side, now, sample))


@contextmanager
def followed(readers: Sequence[ThroughputReader]) -> Iterator[None]:
    """Read in a thread of its own while the block runs.

    Raises:
        LabError: at the end of the block, if a guest has stopped. Nothing is read after that. An error of the block
            itself comes first.
    """
    stop = threading.Event()
    failures: list[LabError] = []

    def follow() -> None:
        try:
            ended = False
            while not ended:
                ended = stop.wait(POLL_SECONDS)
                for reader in readers:
                    reader.look(time.monotonic())
        except LabError as error:
            failures.append(error)

    thread = threading.Thread(target=follow, name="throughput")
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
    """Operations per second before, during and after the migration; None without a sample."""

    before: float | None
    during: float | None
    after: float | None

    @property
    def degradation(self) -> float | None:
        """The share by which the throughput is lower during the migration than before it."""
        return None if not self.before or self.during is None else 1 - self.during / self.before


def medians(samples: Sequence[TimedSample], start: float, end: float) -> Medians:
    """Median throughput by phase.

    Args:
        samples: of both sides. Those of the destination are after the migration.
        start: start of the migration, CLOCK_MONOTONIC, seconds.
        end: its end, or its time limit.
    """
    source = [each for each in samples if each.side == SOURCE]
    phases = (
        [each for each in source if each.time <= start],
        [each for each in source if start < each.time <= end],
        [each for each in samples if each.side == DESTINATION],
    )
    return Medians(*(_median(phase) for phase in phases))


def _median(samples: Sequence[TimedSample]) -> float | None:
    return median(each.sample.operations_per_second for each in samples) if samples else None

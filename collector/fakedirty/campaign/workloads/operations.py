"""The service of a program in the guest of services: the lines that ``guests/services/meter.c`` writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fakedirty.errors import LabError

from .throughput import Sample

OPERATIONS, ERROR = "operations", "error"
POLL_SECONDS = 0.05
SETTLED = 3  # reports of something done, until a program counts as at work


def operations(line: str) -> Sample | None:
    """The sample in ``operations DONE INTERVAL_US [MEDIAN_US P99_US]``; None for any other line.

    LabError for ``error TEXT``: the program ended.
    """
    word, *values = line.split() or [""]
    if word == ERROR:
        raise LabError(f"the guest cannot do what it was told: {' '.join(values)}")
    if word != OPERATIONS:
        return None
    try:
        done, interval_us, *latencies = map(float, values)
        median_us, p99_us = latencies or (None, None)
        return Sample(1e6 * done / interval_us, median_us, p99_us)
    except (ValueError, ZeroDivisionError) as error:
        raise LabError(f"the guest said {line!r}, which is not of the protocol of guests/README.md") from error


def wait_for_operations(path: Path, *, seconds: float, check_alive: Callable[[], object] = lambda: None) -> None:
    """Until the program that writes to `path` is at work; LabError if it says that it cannot, or the time is up."""
    deadline = time.monotonic() + seconds
    while _worked(path) < SETTLED:
        check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"the guest is not there after {seconds:g} s; what it said is in {path}")
        time.sleep(POLL_SECONDS)


def _worked(path: Path) -> int:
    """In how many reports something was done."""
    text = path.read_text("ascii", errors="replace") if path.exists() else ""
    samples = map(operations, text[: text.rfind("\n") + 1].splitlines())
    return sum(sample is not None and sample.operations_per_second > 0 for sample in samples)

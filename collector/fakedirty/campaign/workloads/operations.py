"""The throughput of a program in the guest of services: the lines that ``guests/services/meter.c`` writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fakedirty.errors import LabError

from .throughput import ThroughputSample

OPERATIONS, ERROR = "operations", "error"
POLL_SECONDS = 0.05
SETTLED = 3  # reports of at least one operation, until a program counts as at work


def operations(line: str) -> ThroughputSample | None:
    """Read one line.

    Returns:
        The sample in ``operations DONE INTERVAL_US [MEDIAN_US P99_US]``; None for any other line.

    Raises:
        LabError: the line is ``error TEXT``: the program has ended. Or it is broken.
    """
    word, *values = line.split() or [""]
    if word == ERROR:
        raise LabError(f"the guest reports an error: {' '.join(values)}")
    if word != OPERATIONS:
        return None
    try:
        done, interval_us, *latencies = map(float, values)
        median_us, p99_us = latencies or (None, None)
        return ThroughputSample(1e6 * done / interval_us, median_us, p99_us)
    except (ValueError, ZeroDivisionError) as error:
        raise LabError(f"the guest wrote {line!r}, which is not of the protocol of guests/README.md") from error


def wait_for_operations(path: Path, *, seconds: float, check_alive: Callable[[], object] = lambda: None) -> None:
    """Wait until a program is at work.

    Args:
        path: the file that the program writes to.
        seconds: the longest time to wait.
        check_alive: raises if the QEMU of the guest has ended.

    Raises:
        LabError: the program reports an error, or the time is up.
    """
    deadline = time.monotonic() + seconds
    while _reports_of_work(lines := _lines(path)) < SETTLED:
        check_alive()
        if time.monotonic() > deadline:
            last = f"its last line is {lines[-1]!r}" if lines else "it has written nothing"
            raise LabError(f"the guest is not at work after {seconds:g} s; {last}")
        time.sleep(POLL_SECONDS)


def _lines(path: Path) -> list[str]:
    """All whole lines so far."""
    text = path.read_text("ascii", errors="replace") if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def _reports_of_work(lines: list[str]) -> int:
    """How many reports count at least one operation."""
    samples = map(operations, lines)
    return sum(sample is not None and sample.operations_per_second > 0 for sample in samples)

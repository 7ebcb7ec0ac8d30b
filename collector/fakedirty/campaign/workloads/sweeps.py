"""The service of a ground-truth guest: a sweep is an operation; guests/README.md has what it says of them."""

from __future__ import annotations

from fakedirty.errors import LabError
from fakedirty.lab.guests.serial_report import Sweeps, parse_report

from .throughput import Meter, Sample


def sweep_meter() -> Meter:
    """Reads the lines of one side, from the second of them on: each is the difference from the one before.

    The latency is that of a sweep with the pause behind it: the mean in the interval, and the longest, which is
    the 99th percentile of fewer than a hundred.
    """
    before: list[Sweeps] = []

    def take(line: str) -> Sample | None:
        report = parse_report(f"{line}\n")
        if report.error:
            raise LabError(f"the guest cannot do what it was told: {report.error}")
        if not (said := report.sweeps):
            return None
        [now], last = said, before[-1] if before else None
        before[:] = said
        if last is None or now.milliseconds <= last.milliseconds:
            return None
        done, milliseconds = now.done - last.done, now.milliseconds - last.milliseconds
        mean_us = 1000 * milliseconds / done if done else None
        return Sample(1000 * done / milliseconds, mean_us, 1000 * now.longest_ms if done else None)

    return take

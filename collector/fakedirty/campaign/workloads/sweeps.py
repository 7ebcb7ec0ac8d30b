"""The throughput of a bare-metal guest: a sweep is an operation. guests/README.md has its protocol."""

from __future__ import annotations

from fakedirty.errors import LabError
from fakedirty.lab.guests.serial_report import Sweeps, parse_report

from .throughput import Meter, ThroughputSample


def sweep_meter() -> Meter:
    """A meter for one side's output.

    From the second report on, each report makes a sample: its difference to the report before it. The latency is that
    of a sweep with the pause behind it: the mean in the interval, and the longest, which stands for the 99th
    percentile (an interval has fewer than a hundred sweeps).
    """
    before: list[Sweeps] = []

    def take(line: str) -> ThroughputSample | None:
        report = parse_report(f"{line}\n")
        if report.error:
            raise LabError(f"the guest reports an error: {report.error}")
        if not report.sweeps:
            return None
        [now], last = report.sweeps, before[-1] if before else None
        before[:] = report.sweeps
        if last is None or now.milliseconds <= last.milliseconds:
            return None
        done, milliseconds = now.done - last.done, now.milliseconds - last.milliseconds
        mean_us = 1000 * milliseconds / done if done else None
        return ThroughputSample(1000 * done / milliseconds, mean_us, 1000 * now.longest_ms if done else None)

    return take

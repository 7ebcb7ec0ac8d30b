"""The downtime as it is observed from outside QEMU: from the stop of the source to the arrival at the destination.

Both QEMU stamp their events with the clock of the host. The destination of a campaign stays stopped after its
arrival, because its memory is compared. So its arrival is the event that says that everything is in place: a moment
later the guest would have run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]


def observed_downtime_ms(source: Iterable[Event], destination: Iterable[Event]) -> float | None:
    """Compute the downtime from the QMP events of both sides.

    Returns:
        Milliseconds. None if one of the two moments is not among the events, and after postcopy.
    """
    stops = [_microseconds(event) for event in source if event["event"] == "STOP"]
    states = [(event["data"]["status"], _microseconds(event)) for event in destination if event["event"] == "MIGRATION"]
    arrivals = [at for state, at in states if state == "completed"]
    if not stops or not arrivals or any(state.startswith("postcopy") for state, _ in states):
        return None
    return (arrivals[-1] - stops[-1]) / 1e3


def _microseconds(event: Event) -> int:
    stamp = event["timestamp"]
    return int(stamp["seconds"]) * 1_000_000 + int(stamp["microseconds"])

"""The downtime from outside QEMU's own account: from the stop of the source to the arrival at the destination.

Both QEMU stamp their events by the clock of the host. The destination of a campaign arrives stopped, for its memory to
be compared: it is taken to have arrived when it says that all is in place, a moment after which it would have run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]


def outside_downtime_ms(source: Iterable[Event], destination: Iterable[Event]) -> float | None:
    """From the events of both; None where one of the two moments is not among them, as after postcopy."""
    stops = [_microseconds(event) for event in source if event["event"] == "STOP"]
    states = [(event["data"]["status"], _microseconds(event)) for event in destination if event["event"] == "MIGRATION"]
    arrivals = [at for state, at in states if state == "completed"]
    if not stops or not arrivals or any(state.startswith("postcopy") for state, _ in states):
        return None
    return (arrivals[-1] - stops[-1]) / 1e3


def _microseconds(event: Event) -> int:
    stamp = event["timestamp"]
    return int(stamp["seconds"]) * 1_000_000 + int(stamp["microseconds"])

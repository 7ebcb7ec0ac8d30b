"""Counters of lost events in the kernel, as events of the model."""

from __future__ import annotations

from collections.abc import Sequence

from fakedirty.model.events import EventsLost
from fakedirty.observe.decode.wire import LOST_PLACES


class LossReader:
    """Turns ever-growing counters into what was lost since the last look."""

    def __init__(self) -> None:
        self._known = [0] * len(LOST_PLACES)

    def take(self, time_ns: int, counters: Sequence[int]) -> list[EventsLost]:
        """An event for every place that lost something."""
        lost = [
            EventsLost(time_ns, now - before, where)
            for where, before, now in zip(LOST_PLACES, self._known, counters, strict=True)
            if now > before
        ]
        self._known = list(counters)
        return lost

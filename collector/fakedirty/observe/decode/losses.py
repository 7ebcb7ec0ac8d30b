"""Counters of lost events, which the kernel keeps, as events of the model."""

from __future__ import annotations

from collections.abc import Sequence

from fakedirty.model.events import EventsLost

from .wire import LOST_PLACES


class LossReader:
    """Makes events of counters that only grow: what was lost since they were read before."""

    def __init__(self) -> None:
        self._known = [0] * len(LOST_PLACES)

    def take(self, time_ns: int, counters: Sequence[int]) -> list[EventsLost]:
        """One event for each counter that has grown; `counters` are in the order of LOST_PLACES."""
        lost = [
            EventsLost(time_ns, now - before, where)
            for where, before, now in zip(LOST_PLACES, self._known, counters, strict=True)
            if now > before
        ]
        self._known = list(counters)
        return lost

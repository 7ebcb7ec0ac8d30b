"""QEMU's report on a guest that has arrived: read at the arrival, and again until postcopy is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fakedirty.model.migration import ENDED

ANSWER_SECONDS = 1.0  # from the arrival to the first answer, at most
AGAIN_SECONDS = 1.0  # between two looks
LONGEST_SECONDS = 600.0  # postcopy may be interrupted for ever


class Arrival:
    """Whether the report on an arrival is still awaited.

    Args:
        time_ns: when the guest arrived.
        look_up: begins to read the report, which comes as a record later, or never.
    """

    def __init__(self, time_ns: int, look_up: Callable[[], None]) -> None:
        self._time_ns = self._looked_ns = time_ns
        self._look_up = look_up
        self._answered = self._final = False
        look_up()

    def take(self, report: Mapping[str, object]) -> None:
        """An answer of query-migrate. One without a state of a migration is as final as one with an end."""
        self._answered = True
        self._final = report.get("status") in (None, "none", *ENDED)

    def awaits(self, now_ns: int) -> bool:
        """Whether a better report may come; looks again if it is time."""
        waited = (now_ns - self._time_ns) / 1e9
        if self._final or waited > (LONGEST_SECONDS if self._answered else ANSWER_SECONDS):
            return False
        if self._answered and now_ns - self._looked_ns >= AGAIN_SECONDS * 1e9:
            self._looked_ns = now_ns
            self._look_up()
        return True

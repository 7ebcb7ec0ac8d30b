"""What the switchovers of a fuzz run were expected to cost, and what they did cost: in histograms.

A guest that runs goes on writing between the decision and its stop, which no expectation has. So those that stood still
are counted apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fakedirty.model.totals import expected_time_ns

# A limit that says something of the estimate: a shorter one is in the noise of a machine with other work
LEAST_LIMIT_SECONDS = 0.1
LATE = 1.2  # of the limit

BOUNDS = (0.5, 0.8, 1.0, 1.2, 2.0, 10.0)  # of what came, as a multiple of what was expected or allowed
STILL, RUNNING = "stood still", "ran"
PAGES, TIME = "pages", "time"
LIMIT, LONG = "time of a limit < 100 ms", "time of a limit ≥ 100 ms"


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of one switchover, in pages and seconds; all times but the downtime are of RAM alone.

    `expected_seconds` is None where QEMU knew no bandwidth, `limit_seconds` where the migration was let through: it had
    no limit any more. `downtime_seconds` is as QEMU reports it; a pause before the switchover is in it. `aware` is
    whether the patches decided on it, and not QEMU's own estimate: it skipped, and fake-dirty-switchover was on.
    """

    still: bool
    expected_pages: int
    pages: int
    expected_seconds: float | None
    seconds: float
    limit_seconds: float | None
    downtime_seconds: float | None = None
    aware: bool = True

    @classmethod
    def of(cls, final: Mapping[str, Any], *, still: bool, limit_ms: int | None, aware: bool = True) -> Predicted | None:
        """By the last query-migrate; None where QEMU does not report it, or there was no switchover."""
        found = final.get("switchover", {})
        if "pages" not in found:
            return None
        expected_ns = expected_time_ns(final)
        return cls(
            still,
            found["expected-pages"],
            found["pages"],
            None if expected_ns is None else expected_ns / 1e9,
            found["time"] / 1e9,
            None if limit_ms is None else limit_ms / 1e3,
            final["downtime"] / 1e3 if "downtime" in final else None,
            aware,
        )

    @property
    def timed(self) -> bool:
        """Whether it had a limit that it can be held to."""
        return self.limit_seconds is not None and self.limit_seconds >= LEAST_LIMIT_SECONDS

    @property
    def late(self) -> bool:
        """Whether RAM alone took clearly longer than such a limit permits."""
        return self.timed and self.limit_seconds is not None and self.seconds > LATE * self.limit_seconds

    def ratios(self) -> Iterable[tuple[str, float]]:
        """What came, as a multiple of what was expected, where anything was, and of the downtime limit."""
        if self.expected_pages:
            yield PAGES, self.pages / self.expected_pages
        if self.expected_seconds:
            yield TIME, self.seconds / self.expected_seconds
        if self.limit_seconds:
            yield LONG if self.timed else LIMIT, self.seconds / self.limit_seconds


class Predictions:
    """Histograms of all that were given: by what the guest did, and of what the ratio is."""

    def __init__(self, switchovers: Iterable[Predicted]) -> None:
        self._counts: dict[tuple[str, str], Counter[int]] = {
            (guest, what): Counter() for guest in (STILL, RUNNING) for what in (PAGES, TIME, LIMIT, LONG)
        }
        for each in switchovers:
            for what, ratio in each.ratios():
                self._counts[STILL if each.still else RUNNING, what][bisect_left(BOUNDS, ratio)] += 1

    def rows(self) -> dict[str, dict[str, int]]:
        """How many switchovers by ``guest, what`` and the range of the ratio."""
        return {
            f"{guest}, {what}": {name: counts[place] for place, name in enumerate(ranges())}
            for (guest, what), counts in self._counts.items()
        }


def ranges() -> list[str]:
    """The names of the histograms' bins."""
    return [*(f"≤ {bound:g}" for bound in BOUNDS), f"> {BOUNDS[-1]:g}"]

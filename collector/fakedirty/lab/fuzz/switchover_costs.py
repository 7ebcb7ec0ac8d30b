"""Expected and real costs of the switchovers of a fuzz run, in histograms.

A running guest goes on writing between the decision and its stop, which no estimate contains. So the switchovers of
stopped guests are counted apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fakedirty.model.totals import expected_time_ns

# on a host with other work, its delays hide how well a shorter limit is kept
LEAST_LIMIT_SECONDS = 0.1
LATE = 1.2  # of the limit

BOUNDS = (0.5, 0.8, 1.0, 1.2, 2.0, 10.0)  # of the real cost, as a multiple of the expected or allowed one
STILL, RUNNING = "stood still", "ran"
PAGES, TIME = "pages", "time"
LIMIT, LONG = "time of a limit < 100 ms", "time of a limit ≥ 100 ms"


@dataclass(frozen=True, slots=True)
class SwitchoverCost:
    """The expected and the real cost of one switchover. All times but the downtime are of RAM alone.

    Attributes:
        still: whether the guest was stopped before.
        expected_pages: that QEMU expected to send.
        pages: that it sent.
        expected_seconds: None if QEMU knew no bandwidth.
        seconds: that it took.
        limit_seconds: the downtime limit; None if the migration was let through, and had no limit any more.
        downtime_seconds: as QEMU reports it, with the pause before the switchover.
        aware: whether the patch series decided on the switchover: QEMU skipped, and fake-dirty-switchover was on.
            Else it was QEMU's own estimate.
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
    def of(
        cls, final: Mapping[str, Any], *, still: bool, limit_ms: int | None, aware: bool = True
    ) -> SwitchoverCost | None:
        """Read it from the last ``query-migrate``.

        Returns:
            None if QEMU does not report it, or if there was no switchover.
        """
        switchover = final.get("switchover", {})
        if "pages" not in switchover:
            return None
        expected_ns = expected_time_ns(final)
        return cls(
            still,
            switchover["expected-pages"],
            switchover["pages"],
            None if expected_ns is None else expected_ns / 1e9,
            switchover["time"] / 1e9,
            None if limit_ms is None else limit_ms / 1e3,
            final["downtime"] / 1e3 if "downtime" in final else None,
            aware,
        )

    @property
    def timed(self) -> bool:
        """Whether its limit is long enough to be checked."""
        return self.limit_seconds is not None and self.limit_seconds >= LEAST_LIMIT_SECONDS

    @property
    def late(self) -> bool:
        """Whether RAM alone took clearly longer than such a limit permits."""
        return self.timed and self.limit_seconds is not None and self.seconds > LATE * self.limit_seconds

    def ratios(self) -> Iterable[tuple[str, float]]:
        """The real cost by the expected one, if there is one, and by the downtime limit; each with its name."""
        if self.expected_pages:
            yield PAGES, self.pages / self.expected_pages
        if self.expected_seconds:
            yield TIME, self.seconds / self.expected_seconds
        if self.limit_seconds:
            yield LONG if self.timed else LIMIT, self.seconds / self.limit_seconds


class SwitchoverHistograms:
    """How many switchovers had which ratio of real to expected cost, by state of the guest and kind of ratio."""

    def __init__(self, switchovers: Iterable[SwitchoverCost]) -> None:
        self._counts: dict[tuple[str, str], Counter[int]] = {
            (guest, ratio): Counter() for guest in (STILL, RUNNING) for ratio in (PAGES, TIME, LIMIT, LONG)
        }
        for each in switchovers:
            for name, ratio in each.ratios():
                self._counts[STILL if each.still else RUNNING, name][bisect_left(BOUNDS, ratio)] += 1

    def rows(self) -> dict[str, dict[str, int]]:
        """The number of switchovers, by ``guest, ratio`` and the name of the bin."""
        return {
            f"{guest}, {ratio}": {name: counts[place] for place, name in enumerate(bins())}
            for (guest, ratio), counts in self._counts.items()
        }


def bins() -> list[str]:
    """The names of the bins of a histogram."""
    return [*(f"≤ {bound:g}" for bound in BOUNDS), f"> {BOUNDS[-1]:g}"]

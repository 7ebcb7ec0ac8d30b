"""Estimates for a round of which only every N-th page was classified."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from .round import CLASSES

Z = 1.96  # standard deviations: 95 % of the intervals contain the true share


def wilson(successes: int, trials: int, z: float = Z) -> tuple[float, float]:
    """The interval of a share that was `successes` of `trials` in a sample (Wilson, 1927).

    Args:
        successes: from 0 to `trials`.
        trials: size of the sample.
        z: half the width of the interval, in standard deviations.

    Returns:
        Low and high end, each from 0 to 1; (0, 1) of an empty sample.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def estimate_columns(sampled: Mapping[str, int], visited: int) -> dict[str, int]:
    """Estimate the classes of all pages of a round from those of the sampled pages.

    The sample is a fixed set of pages, the same in every round, so that each page can be compared with what was last
    sent of it.

    Args:
        sampled: pages of the sample by column of :data:`fakedirty.model.round.CLASSES`.
        visited: pages that were visited in the round.

    Returns:
        Columns of :class:`fakedirty.model.round.Round`: the classes in whole pages, which add up to `visited`; the
        size of the sample; and the 95 % interval of the fake pages.

    >>> estimate_columns({"first_pages": 0, "changed_pages": 2, "fake_pages": 8}, 100)["fake_pages"]
    80
    """
    total = sum(sampled[name] for name in CLASSES)
    shares = [sampled[name] / total if total else 0.0 for name in CLASSES]
    columns = {name: round(share * visited) for name, share in zip(CLASSES, shares, strict=True)}
    # rounding may be off by one; with an empty sample all pages are `first`, the class that claims nothing
    columns[CLASSES[0]] += visited - sum(columns.values())
    low, high = wilson(sampled["fake_pages"], total)
    return columns | {
        "sampled_pages": total,
        "fake_pages_low": int(low * visited),
        "fake_pages_high": min(visited, round(high * visited + 0.5)),
    }

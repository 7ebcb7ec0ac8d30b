"""Counts of a round of which only every N-th page was looked at: what all its pages are likely to be."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from .round import CLASSES

Z = 1.96  # standard deviations: 95 % of intervals hold the true share


def wilson(successes: int, trials: int, z: float = Z) -> tuple[float, float]:
    """The interval in which a share lies that was seen as `successes` of `trials` (Wilson, 1927); all, of none."""
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def estimated(sampled: Mapping[str, int], visited: int) -> dict[str, int]:
    """Columns of a round of `visited` pages, from the classes of the sampled ones: estimates, and how good they are.

    Estimates are whole pages that add up to `visited`. Sampled are pages, not visits, the same ones in every
    round, so that each can be compared with what was last sent of it.
    """
    total = sum(sampled[name] for name in CLASSES)
    shares = [sampled[name] / total if total else 0.0 for name in CLASSES]
    columns = {name: round(share * visited) for name, share in zip(CLASSES, shares, strict=True)}
    # rounding may be off by one; of no sample nothing is known, and a first page claims nothing
    columns[CLASSES[0]] += visited - sum(columns.values())
    low, high = wilson(sampled["fake_pages"], total)
    return columns | {
        "sampled_pages": total,
        "fake_pages_low": int(low * visited),
        "fake_pages_high": min(visited, round(high * visited + 0.5)),
    }

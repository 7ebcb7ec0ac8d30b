"""Estimates as text: a median with its interval, a difference that may be a bound, a p-value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from fakedirty.format.numbers import UNSEEN

from .metrics import METRICS

BY_COLUMN = {metric.column: metric for metric in METRICS}
Text = Callable[[float], str]
Row = Mapping[str, Any]  # of a frame; None is not known


def median_text(row: Row) -> str:
    """A row of medians: ``2.85 s (2.71 s to 3.02 s)``, ``> 25.0 s``, ``46 ms of 1 run``."""
    text = BY_COLUMN[row["metric"]].text
    value = text(row["median"]) if math.isfinite(row["median"]) else f"> {text(row['at_least'])}"
    few = f"of {counted(row['used'], 'run')}" if row["used"] < row["runs"] else ""
    return " ".join(filter(None, (value, interval(row["interval_low"], row["interval_high"], text), few)))


def difference_text(row: Row) -> str:
    """A row of differences: ``−1.70 s (−1.90 s to −1.50 s)``, ``below −22.1 s (up to −21.9 s)``."""
    text = BY_COLUMN[row["metric"]].signed
    value = bounded(row["difference_least"], row["difference_most"], text)
    return " ".join(filter(None, (value, interval(row["interval_low"], row["interval_high"], text))))


def ratio_text(row: Row) -> str:
    """The ratio of a row of differences to the baseline: ``21.3 %``, ``below 11.9 %``."""
    if row["ratio_least"] is None or row["ratio_most"] is None:
        return UNSEEN
    # a ratio is never negative, so 0 is no bound
    least = row["ratio_least"] if row["ratio_least"] > 0 or row["ratio_most"] == 0 else -math.inf
    return bounded(least, row["ratio_most"], lambda value: f"{100 * value:.3g} %")


def bounded(least: float, most: float, text: Text) -> str:
    """A number that lies from `least` to `most`; infinity is no bound."""
    if least == most:
        return text(least)
    match math.isfinite(least), math.isfinite(most):
        case True, True:
            return f"{text(least)} to {text(most)}"
        case False, True:
            return f"below {text(most)}"
        case True, False:
            return f"above {text(least)}"
        case _:
            return "not known"


def interval(low: float | None, high: float | None, text: Text) -> str:
    """An interval in parentheses, with no end that is infinite; empty without an interval."""
    if low is None or high is None:
        return ""
    match math.isfinite(low), math.isfinite(high):
        case True, True:
            return f"({text(low)} to {text(high)})"
        case False, True:
            return f"(up to {text(high)})"
        case True, False:
            return f"(from {text(low)})"
        case _:
            return ""


def p_text(p: float | None) -> str:
    """A p-value with three digits."""
    if p is None:
        return UNSEEN
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def counted(number: int, word: str) -> str:
    """``1 run``, ``6 runs``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"

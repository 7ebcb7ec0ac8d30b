"""What would make a migration end, in sentences and as numbers. Values are rounded up, so that they do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

from fakedirty.model.forecast import Forecast
from fakedirty.model.recommendation import Recommendation, recommendations

from .sentences import GAIN, SHORTEST_LIMIT, in_words, ranged_words, seconds_words

DIGITS = 2  # significant ones that are shown
LEAST_RATE = 1e6  # bytes a second: a lower one is not shown


def advised(found: Forecast) -> str:
    """The forecast as text, with what is recommended."""
    return " ".join([in_words(found), *recommendation_sentences(found)])


def recommendation_sentences(found: Forecast) -> Iterator[str]:
    """What the plan in force needs and, if skip is off and less would do with it, what that is."""
    needed = recommendations(found)
    if needed is None:
        return
    own = needed.with_skip if found.skipping else needed.as_is
    if ways := list(_ways(found, own)):
        yield f"{'With skip on' if found.skipping else 'As it is'}, it needs {_either(ways)}."
    if found.skipping or not _less(needed.with_skip, needed.as_is):
        return
    if ways := list(_ways(found, needed.with_skip)):
        yield f"With skip, {_either(ways)} would do."


def recommendation_numbers(found: Forecast) -> Iterator[tuple[str, str]]:
    """By what it is, each value that is recommended for a plan."""
    if (needed := recommendations(found)) is None:
        return
    for plan, own in (("without skip", needed.as_is), ("with skip", needed.with_skip)):
        for name, of, words in (
            ("bandwidth", own.bandwidth_bytes_per_second, rate_words),
            ("throttle", own.throttle_ratio, throttle_words),
        ):
            if of is not None:
                yield f"{plan}, converges with a {name} from", ranged_words(of, words)


def rate_words(value: float) -> str:
    """Bytes a second, rounded up; no less than 1 MB/s.

    >>> rate_words(304e6), rate_words(1.234e9), rate_words(47e3)
    ('310 MB/s', '1,300 MB/s', '1 MB/s')
    """
    return f"{up(max(value, LEAST_RATE)) / 1e6:,.0f} MB/s" if value > 10e6 else f"{math.ceil(value / 1e6)} MB/s"


def limit_words(value: float) -> str:
    """A downtime limit, rounded up to one that QEMU takes.

    >>> limit_words(545), limit_words(1.81), limit_words(0.1751), limit_words(0)
    ('550 s', '1.9 s', '180 ms', '1 ms')
    """
    limit = up(max(value, SHORTEST_LIMIT))
    return seconds_words(limit) if limit < 9.95 else f"{limit:,.0f} s"


def throttle_words(value: float) -> str:
    """A throttle as QEMU counts it: the percentage of CPU time that is taken from the guest, rounded up.

    >>> throttle_words(0.695), throttle_words(0.7), throttle_words(0)
    ('70%', '70%', '0%')
    """
    return f"{math.ceil(value * 100 - 1e-6)}%"


def up(value: float) -> float:
    """A number above 0, rounded up to its first digits."""
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - DIGITS)
    return math.ceil(value / step - 1e-6) * step


def _less(own: Recommendation, other: Recommendation) -> bool:
    """Whether `own` needs less of anything than `other`, by more than a little."""
    pairs = [(getattr(own, each.name), getattr(other, each.name)) for each in fields(Recommendation)]
    return any(
        mine is not None and (theirs is None or mine.expected < GAIN * theirs.expected) for mine, theirs in pairs
    )


def _ways(found: Forecast, own: Recommendation) -> Iterator[str]:
    limit = f" with a limit of {seconds_words(found.downtime_limit_seconds)}" if found.limit_assumed else ""
    if (of := own.bandwidth_bytes_per_second) is not None:
        yield f"{ranged_words(of, rate_words)}{limit}"
    if (of := own.downtime_limit_seconds) is not None:
        yield f"a limit of {ranged_words(of, limit_words)}"
    if (of := own.throttle_ratio) is not None:
        yield f"a throttle of {ranged_words(of, throttle_words)}{limit}"


def _either(ways: list[str]) -> str:
    *others, last = ways
    return f"{', '.join(others)} or {last}" if others else last

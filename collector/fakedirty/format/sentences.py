"""The forecast in one or two sentences: why a migration does not converge, and whether skip mode would help."""

from __future__ import annotations

from collections.abc import Callable

from fakedirty.model.forecast import Estimate, Forecast, Prediction, Refutation

SHORTEST_LIMIT = 0.001  # seconds: QEMU's limits are whole milliseconds
AS_LONG = 0.1  # of a time: a smaller difference is not mentioned; QEMU leaves out the headers of pages
GAIN = 0.95  # of the time without skip: a plan that takes longer than this gains little
NARROW = 0.1  # of the expected number: a range of less is not shown


def in_words(found: Forecast) -> str:
    """The forecast as text for a person who does not read the numbers."""
    unchanged = f"{share(found.unchanged_ratio)} of what is sent again has not changed."
    if found.refuted is not None:
        return " ".join([refuted_words(found.refuted), _suspect(found), unchanged])
    return " ".join([unchanged, *_plans(found)])


def refuted_words(refuted: Refutation) -> str:
    """The prediction that did not come true, in a sentence."""
    if refuted.total_seconds is None:
        return "It was expected not to converge, and it has."
    return (
        f"It was expected to end after {estimate_words(refuted.total_seconds)} in all, as its first "
        f"{refuted.after_round} rounds had it, and has not: this verdict is withdrawn."
    )


def limit_words(found: Forecast) -> str:
    """The downtime limit, and that it is QEMU's default where QEMU's own is not known."""
    words = seconds_words(found.downtime_limit_seconds)
    return f"{words}, QEMU's default: the real one is not known" if found.limit_assumed else words


def link_words(rate: float) -> str:
    """Bytes a second that a link carries.

    >>> link_words(123.7e6), link_words(4e5)
    ('124 MB/s', '400 kB/s')
    """
    return f"{rate / 1e6:.0f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kB/s"


def _suspect(found: Forecast) -> str:
    if found.limit_assumed:
        return f"The downtime limit, assumed to be {seconds_words(found.downtime_limit_seconds)}, is the first suspect."
    return "The guest, the link or the limit is not what it was."


def counted_otherwise(found: Forecast) -> bool:
    """Whether QEMU's own estimate of the time of sending is far from the time that it takes."""
    return abs(found.counted_ratio - 1) > AS_LONG


def _as_counted(found: Forecast, seconds: float) -> str:
    return f", or {seconds_words(seconds * found.counted_ratio)} as QEMU counts" if counted_otherwise(found) else ""


def share(ratio: float) -> str:
    """A share in percent; 100% only for all of it.

    >>> share(0.5), share(0.997), share(1)
    ('50%', 'Over 99%', '100%')
    """
    return "Over 99%" if 0.99 < ratio < 1 else f"{ratio:.0%}"


def _plans(found: Forecast) -> list[str]:
    if found.skipping:
        return [_with_skip_on(found), _without(found)]
    return [_as_it_is(found), _with_skip(found)]


def _as_it_is(found: Forecast) -> str:
    plan = found.as_is
    if plan.total_seconds and plan.downtime_seconds:
        return f"As it is, it {_converges(plan)} {_end(plan)}{_with_the_limit(found, plan)}."
    return (
        f"As it is, it {_does_not(found, plan)}: each round leaves {found.dirty_pages:,} dirty pages, which take "
        f"{seconds_words(found.dirty_seconds)} at {link_words(found.link_rate)}"
        f"{_as_counted(found, found.dirty_seconds)}{_no_longer(found)}."
    )


def _with_skip(found: Forecast) -> str:
    skip, plain = found.with_skip, found.as_is
    if not skip.total_seconds:
        changed = f"those that have changed take {seconds_words(found.changed_seconds)}"
        changed += _as_counted(found, found.changed_seconds)
        # with skip, and a limit or a bandwidth besides, it may end: that is recommended then
        would = f"would help{above}" if (above := _above(found, skip)) else "alone would not help"
        return f"Skip {would}: {changed}."
    if plain.total_seconds and skip.total_seconds.expected > GAIN * plain.total_seconds.expected:
        return "Skip would gain little."
    would = "would end" if skip.certain else "would probably end"
    return f"With skip it {would} {_end(skip)}{_above(found, skip)}."


def _with_skip_on(found: Forecast) -> str:
    plan = found.with_skip
    if plan.total_seconds:
        return f"With skip on, it {_converges(plan)} {_end(plan)}{_with_the_limit(found, plan)}."
    return (
        f"Even with skip on, it {_does_not(found, plan)}: what changes in a round takes "
        f"{seconds_words(found.changed_seconds)} at {link_words(found.link_rate)}"
        f"{_as_counted(found, found.changed_seconds)}{_no_longer(found)}."
    )


def _without(found: Forecast) -> str:
    plain, skip = found.as_is, found.with_skip
    if not plain.total_seconds:
        return "Without skip it would not converge." if skip.total_seconds else "Nor does it without skip."
    if skip.total_seconds and skip.total_seconds.expected < GAIN * plain.total_seconds.expected:
        return f"Without skip it would end {_end(plain)}{_above(found, plain)}."
    return "Skip gains little."


def _converges(plan: Prediction) -> str:
    return "converges" if plan.certain else "probably converges"


def _does_not(found: Forecast, plan: Prediction) -> str:
    may = "does not converge" if plan.certain else "probably does not converge"
    if not found.limit_assumed:
        return may
    least = plan.least_limit_seconds
    return f"{may}{_by_default(found)}{f', but above {seconds_words(least.expected)}' if least else ''}"


def _no_longer(found: Forecast) -> str:
    if found.limit_assumed:  # the sentence has it already
        return ""
    return f", and the guest may be stopped for no longer than {seconds_words(found.downtime_limit_seconds)}"


def _with_the_limit(found: Forecast, plan: Prediction) -> str:
    """The downtime limits for which the prediction is right, where QEMU's own is not known."""
    if not found.limit_assumed:
        return ""
    least = plan.least_limit_seconds
    if least is None:
        return _by_default(found)
    others = "other" if least.expected < SHORTEST_LIMIT else f"above {seconds_words(least.expected)}"
    return f"{_by_default(found)}, or any {others}"


def _by_default(found: Forecast) -> str:
    return f" if the limit is QEMU's default of {seconds_words(found.downtime_limit_seconds)}"


def _above(found: Forecast, plan: Prediction) -> str:
    """The same, in a sentence that follows one with the default."""
    least = plan.least_limit_seconds
    if not found.limit_assumed or least is None or least.expected < SHORTEST_LIMIT:
        return ""
    return f" if the limit is above {seconds_words(least.expected)}"


def _end(plan: Prediction) -> str:
    assert plan.total_seconds
    assert plan.downtime_seconds
    total, downtime = estimate_words(plan.total_seconds), estimate_words(plan.downtime_seconds)
    return f"after {total} in all, with the guest stopped for {downtime}"


def estimate_words(of: Estimate) -> str:
    """The expected number of seconds, and its range if that is wide."""
    return ranged_words(of, seconds_words)


def ranged_words(of: Estimate, words: Callable[[float], str]) -> str:
    """The expected number, and its range if that is wide, and reads differently; `words` formats a number."""
    return f"{words(of.expected)}{range_words(of, words)}"


def range_words(of: Estimate, words: Callable[[float], str]) -> str:
    """A range in brackets, after a space; empty if it is narrow, or reads as the expected number does.

    >>> [range_words(of, str) for of in (Estimate(1, 2, 4), Estimate(1, 2, None), Estimate(2, 2, 2.1))]
    [' (1 to 4)', ' (at best 1)', '']
    """
    middle, *ends = (words(value) for value in (of.expected, of.low, of.high) if value is not None)
    narrow = of.high is not None and of.high - of.low < NARROW * of.expected
    if narrow or set(ends) == {middle}:
        return ""
    return f" (at best {ends[0]})" if of.high is None else f" ({' to '.join(ends)})"


def seconds_words(value: float) -> str:
    """A time with the unit that people use for it.

    >>> seconds_words(0.234), seconds_words(2.25), seconds_words(300), seconds_words(0.0002), seconds_words(0)
    ('234 ms', '2.2 s', '5 min', 'under 1 ms', '0 ms')
    """
    if 0 < value < 0.0005:
        return "under 1 ms"
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"

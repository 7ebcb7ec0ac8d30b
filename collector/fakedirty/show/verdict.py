"""The verdict in a sentence or two: why a migration does not converge, and whether skipping would help."""

from __future__ import annotations

from fakedirty.model.verdict import Estimate, Prediction, Verdict

GAIN = 0.95  # of the time as it is: what saves less is not worth a word


def in_words(found: Verdict) -> str:
    """What somebody reads who has no time for the figures."""
    return " ".join([f"{share(found.unchanged_ratio)} of what is sent again has not changed.", *_plans(found)])


def share(ratio: float) -> str:
    """A share that is 100% only where it is all."""
    return "Over 99%" if 0.99 < ratio < 1 else f"{ratio:.0%}"


def _plans(found: Verdict) -> list[str]:
    if found.skipping:
        return [_with_skip_on(found), _without(found)]
    return [_as_it_is(found), _with_skip(found)]


def _as_it_is(found: Verdict) -> str:
    plan = found.as_is
    if plan.total_seconds and plan.downtime_seconds:
        return f"As it is, it {_converges(plan)} {_end(plan)}."
    may = "does not converge" if plan.certain else "probably does not converge"
    return (
        f"As it is, it {may}: each round leaves {found.dirty_pages:,} dirty pages, which take "
        f"{seconds_words(found.dirty_seconds)} at {found.link_rate / 1e6:.0f} MB/s, and the guest may be stopped for "
        f"no longer than {seconds_words(found.downtime_limit_seconds)}."
    )


def _with_skip(found: Verdict) -> str:
    skip, plain = found.with_skip, found.as_is
    if not skip.total_seconds:
        return f"Skip would not help: those that have changed take {seconds_words(found.changed_seconds)} alone."
    if plain.total_seconds and skip.total_seconds.expected > GAIN * plain.total_seconds.expected:
        return "Skip would gain little."
    would = "would end" if skip.certain else "would probably end"
    return f"With skip it {would} {_end(skip)}."


def _with_skip_on(found: Verdict) -> str:
    plan = found.with_skip
    if plan.total_seconds:
        return f"With skip on, it {_converges(plan)} {_end(plan)}."
    may = "does not converge" if plan.certain else "probably does not converge"
    return (
        f"Even with skip on, it {may}: what changes in a round takes {seconds_words(found.changed_seconds)} at "
        f"{found.link_rate / 1e6:.0f} MB/s, and the guest may be stopped for no longer than "
        f"{seconds_words(found.downtime_limit_seconds)}."
    )


def _without(found: Verdict) -> str:
    plain, skip = found.as_is, found.with_skip
    if not plain.total_seconds:
        return "Without skip it would not converge." if skip.total_seconds else "Nor does it without skip."
    if skip.total_seconds and skip.total_seconds.expected < GAIN * plain.total_seconds.expected:
        return f"Without skip it would end {_end(plain)}."
    return "Skip gains little."


def _converges(plan: Prediction) -> str:
    return "converges" if plan.certain else "probably converges"


def _end(plan: Prediction) -> str:
    assert plan.total_seconds
    assert plan.downtime_seconds
    total, downtime = estimate_words(plan.total_seconds), estimate_words(plan.downtime_seconds)
    return f"after {total} in all, with the guest stopped for {downtime}"


def estimate_words(of: Estimate) -> str:
    """The number, and where it may lie if that is far from it."""
    if of.high is None:
        return f"{seconds_words(of.expected)} (at best {seconds_words(of.low)})"
    if of.high - of.low < 0.1 * of.expected:
        return seconds_words(of.expected)
    return f"{seconds_words(of.expected)} ({seconds_words(of.low)} to {seconds_words(of.high)})"


def seconds_words(value: float) -> str:
    """A time as a person says it."""
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"

"""The tables of checked recommendations: each run beside its base, and how often a run ended that was to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum

from rich.table import Table

from fakedirty.lab.bench.forecasts import PLANS, CheckedForecast
from fakedirty.lab.bench.recommendation_checks import BANDWIDTH, CHANGES, FACTORS, NEAR

from .titled_table import titled_table


class Checked(Enum):
    """What a run shows of a recommendation."""

    ENDED = "it did"
    NOT_ENDED = "it did not"
    NOTHING = "not checked"


def checked(run: CheckedForecast) -> Checked:
    """What a run shows: nothing if it did not run, or did not end and did not reach its bandwidth either."""
    if run.memory_equal is None or run.value is None:
        return Checked.NOTHING
    if run.job.change == BANDWIDTH and not run.converged and (run.reached_bandwidth or 0) < NEAR * run.value:
        return Checked.NOTHING
    return Checked.ENDED if run.converged else Checked.NOT_ENDED


def recommendation_tables(runs: Sequence[CheckedForecast]) -> Iterator[Table]:
    """All checks, and their confusion matrix.

    Args:
        runs: of checks, without their bases.
    """
    heads = ("mix", "plan", "set", "by", "to", "reached MB/s", "real s", "shows")
    table = titled_table("recommended values, and what came of more and of less", heads, left=("mix", "plan", "set"))
    for run in sorted(runs, key=lambda run: (run.job.mix, run.job.plan, run.job.change, -run.job.factor)):
        job, reached = run.job, run.reached_bandwidth
        table.add_row(
            *(job.mix, job.plan, job.change, by(job.factor), value_words(run)),
            "" if job.change != BANDWIDTH or reached is None else f"{reached / 1e6:.0f}",
            "-" if run.memory_equal is None else "no end" if run.total_seconds is None else f"{run.total_seconds:.2f}",
            checked(run).value,
        )
    yield table
    yield _confusion_matrix(runs)


def by(factor: float) -> str:
    """A factor as a difference.

    >>> by(1.15), by(0.85)
    ('+15%', '-15%')
    """
    return f"{factor - 1:+.0%}"


def value_words(run: CheckedForecast) -> str:
    """The value that a check had, with its unit."""
    if run.value is None:
        return "-"
    return f"{run.value / 1e6:.1f} MB/s" if run.job.change == BANDWIDTH else f"{run.value * 1e3:.0f} ms"


def _confusion_matrix(runs: Sequence[CheckedForecast]) -> Table:
    heads = ("plan", "set", "by", "predicted", *(each.value for each in Checked))
    table = titled_table("recommended values: does it converge?", heads, left=("plan", "set", "predicted"))
    groups = [(plan, change) for plan in PLANS for change in CHANGES]
    for plan, change in [*groups, ("all", "all")]:
        for factor in FACTORS:
            of = [run for run in runs if run.job.factor == factor]
            if plan != "all":
                of = [run for run in of if (run.job.plan, run.job.change) == (plan, change)]
            counts = Counter(map(checked, of))
            predicted = "yes" if factor > 1 else "no"
            table.add_row(plan, change, by(factor), predicted, *(str(counts[each]) for each in Checked))
    return table

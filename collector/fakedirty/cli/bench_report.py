"""What ``fakedirty bench`` says: a line for each run, and tables of medians with their ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from rich.table import Table

from fakedirty.lab.convergence import Measured, Mix
from fakedirty.lab.cost import ARMS, Cost, paired

RESAMPLES, RESAMPLE_SEED = 10_000, 1


def convergence_line(made: Measured) -> str:
    """One migration on one line."""
    ended = f"{made.total_seconds:.2f} s, downtime {made.downtime_ms} ms" if made.converged else "does not converge"
    return f"{made.job.mix} {made.job.treatment}: {ended}, {made.rounds} rounds, {made.sent_bytes / 1e6:,.0f} MB"


def convergence_tables(runs: Sequence[Measured], mixes: Sequence[Mix], bytes_per_second: float) -> Iterator[Table]:
    """One table for each mix, the treatment with the fastest run first."""
    for mix in mixes:
        of_mix = [made for made in runs if made.job.mix == mix.name]
        limit = median(made.limit_seconds(mix, bytes_per_second) for made in of_mix)
        pace = spread([made.sweeps_per_second for made in of_mix], 1)
        table = Table(
            title=f"{mix.name}: {mix.fake_share:.0%} of what is rewritten is fake; {pace} sweeps/s; "
            f"limit {limit:.2f} s = (bulk + {mix.changed_pages:,.0f} changed pages) / line rate",
            title_justify="left",
            title_style="bold",
        )
        for head in ("treatment", "ended", "total s", "/ limit", "downtime ms", "sent MB", "rounds"):
            table.add_column(head, justify="left" if head == "treatment" else "right")
        for name in dict.fromkeys(made.job.treatment for made in sorted(of_mix, key=lambda made: made.total_seconds)):
            group = [made for made in of_mix if made.job.treatment == name]
            ended = [made for made in group if made.converged]
            table.add_row(
                name,
                f"{len(ended)} of {len(group)}",
                *_total(group, ended, limit),
                spread([made.downtime_ms for made in ended if made.downtime_ms is not None], 0),
                spread([made.sent_bytes / 1e6 for made in group], 0),
                spread([made.rounds for made in group], 0),
            )
        yield table


def _total(group: Sequence[Measured], ended: Sequence[Measured], limit: float) -> tuple[str, str]:
    """Total time and its ratio to the limit; where not all ended, at least what was waited for."""
    seconds = [made.total_seconds for made in group]
    least = "" if len(ended) == len(group) else "> "
    return least + spread(seconds, 2), f"{least}{median(seconds) / limit:.2f}"


def spread(values: Sequence[float], digits: int) -> str:
    """The median and, of several values, the range: ``2.85 (2.71-3.02)``; ``-`` of none."""
    if not values:
        return "-"
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low}-{high})"


def cost_line(made: Cost) -> str:
    """One migration on one line."""
    each = f"{made.thread_ns_per_page:,.0f} ns of CPU a page"
    return f"{made.job.arm}: {made.pages:,} pages in {made.pass_seconds:.2f} s, {each}"


def cost_tables(costs: Sequence[Cost]) -> Iterator[Table]:
    """The arms, and what the next one adds to the one before: off to unpatched, observe and skip to off."""
    table = Table(title="one pass over 2 GiB, by arm: median (range)", title_justify="left", title_style="bold")
    for head in ("arm", "seconds", "ns of CPU a page"):
        table.add_column(head, justify="left" if head == "arm" else "right")
    for arm in ARMS:
        own = [made for made in costs if made.job.arm == arm.name]
        seconds = spread([made.pass_seconds for made in own], 3)
        table.add_row(arm.name, seconds, spread([made.thread_ns_per_page for made in own], 0))
    yield table
    table = Table(title="paired differences: mean, 95 % interval", title_justify="left", title_style="bold")
    for head in ("compared", "pairs", "seconds", "CPU of the thread"):
        table.add_column(head, justify="left" if head == "compared" else "right")
    for first, second in (("unpatched", "off"), ("off", "observe"), ("off", "skip")):
        figures = [paired(costs, first, second, figure) for figure in ("pass_seconds", "thread_ns_per_page")]
        table.add_row(f"{second} over {first}", str(len(figures[0])), *(interval(each) for each in figures))
    yield table


def interval(shares: Sequence[float]) -> str:
    """The mean of paired differences and the interval that 95 % of the means of resamples lie in, in percent."""
    if not shares:
        return "-"
    values = np.array(shares)
    chosen = np.random.default_rng(RESAMPLE_SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), (2.5, 97.5))
    return f"{values.mean():+.2%} ({low:+.2%} to {high:+.2%})"

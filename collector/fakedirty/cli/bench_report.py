"""The tables of ``fakedirty bench``: medians with their ranges, one table for each mix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table

from fakedirty.lab.convergence import Measured, Mix


def tables(runs: Sequence[Measured], mixes: Sequence[Mix], bytes_per_second: float) -> Iterator[Table]:
    """One table for each mix, its treatments in the order of their first run's names."""
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

"""What ``fakedirty bench hybrid`` shows: what was left to postcopy and what the guest missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.convergence import DOWNTIME_LIMIT_MS
from fakedirty.lab.bench.hybrid import AFTER, ARMS, MIX, SWEPT, Hybrid

from .report import spread

HEADS = (
    "arm",
    "postcopy",
    "pages left",
    "of that, with sweeps",
    "missed",
    "postcopy MB",
    "swept",
    "total s",
    "downtime ms",
    "blackout ms",
)


def hybrid_line(made: Hybrid) -> str:
    """One migration on one line."""
    left = "no postcopy" if made.left_pages is None else f"{made.left_pages:,} pages left, {made.requests:,} missed"
    times = f"{made.total_seconds:.2f} s, downtime {made.downtime_ms} ms, blackout {made.blackout_ms:.0f} ms"
    return f"{made.job.arm}: {left}, {times}; memory {'right' if made.memory_right else 'NOT RIGHT'}"


def hybrid_tables(runs: Sequence[Hybrid]) -> Iterator[Table]:
    """By arm; beside what was left, the share of it that is left with both sweeps."""
    table = Table(
        title=f"{MIX.name}, postcopy after round {AFTER}, downtime limit {DOWNTIME_LIMIT_MS} ms: median (range)",
        title_justify="left",
        title_style="bold",
    )
    for head in HEADS:
        table.add_column(head, justify="left" if head == "arm" else "right")
    by_arm = {arm.name: [made for made in runs if made.job.arm == arm.name] for arm in ARMS}
    swept = _left(by_arm[SWEPT])
    for name, own in by_arm.items():
        left = _left(own)
        table.add_row(
            name,
            f"{len(left)} of {len(own)}",
            spread(left, 0),
            f"{median(swept) / median(left):.2f}" if swept and left and name != SWEPT and median(left) else "",
            spread([made.requests for made in own], 0),
            spread([made.postcopy_bytes / 1e6 for made in own], 1),
            spread([made.swept_pages for made in own], 0),
            spread([made.total_seconds for made in own], 2),
            spread([made.downtime_ms for made in own], 0),
            spread([made.blackout_ms for made in own], 0),
        )
    yield table


def _left(runs: Sequence[Hybrid]) -> list[int]:
    """Pages that were left to postcopy, of the runs that came to it."""
    return [made.left_pages for made in runs if made.left_pages is not None]

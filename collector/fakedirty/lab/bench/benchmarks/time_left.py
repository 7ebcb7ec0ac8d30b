"""The tables of the time left: what each migration showed at shares of its time, and how far that was off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.time_left import SHARES, TimeLeft

from .titled_table import titled_table


def time_left_tables(migrations: Sequence[tuple[str, Sequence[TimeLeft]]]) -> Iterator[Table]:
    """A row for each migration, then the errors at each share of the total time; nothing without migrations.

    Args:
        migrations: the name of each migration that ended, and what it showed.
    """
    if not migrations:
        return
    heads = ("migration", *(f"at {share:.0%}" for share in SHARES))
    table = titled_table("time left that was shown, and the real one, in s", heads, left=("migration",))
    for name, shown in migrations:
        table.add_row(name, *map(_cell, shown))
    yield table
    yield _errors([each for _, shown in migrations for each in shown])


def _cell(shown: TimeLeft) -> str:
    if shown.expected is None or shown.low is None:
        return f"{shown.outlook} / {shown.left:.2f}"
    high = "?" if shown.high is None else f"{shown.high:.2f}"
    return f"{shown.expected:.2f} ({shown.low:.2f} to {high}) / {shown.left:.2f}"


def _errors(shown: Sequence[TimeLeft]) -> Table:
    heads = ("at", "migrations", "with a time", "median without sign", "from", "to", "in the range")
    table = titled_table("error of the time left, as a share of the total time", heads, left=("at",))
    for share in SHARES:
        there = [each for each in shown if each.share == share]
        errors = [error for each in there if (error := each.error) is not None]
        row = ["-"] * 4
        if errors:
            within = sum(each.within is True for each in there)
            row = [f"{median(map(abs, errors)):.1%}", f"{min(errors):+.1%}", f"{max(errors):+.1%}"]
            row.append(f"{within} of {len(errors)}")
        table.add_row(f"{share:.0%}", str(len(there)), str(len(errors)), *row)
    return table

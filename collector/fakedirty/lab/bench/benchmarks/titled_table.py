"""A table with a title, as all benchmarks show them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.table import Table


def titled_table(title: str, heads: Sequence[str], left: Collection[str] = ()) -> Table:
    """Make an empty table.

    Args:
        title: above the table.
        heads: of the columns.
        left: the heads of columns that are text, and not numbers.
    """
    table = Table(title=title, title_justify="left", title_style="bold")
    for head in heads:
        table.add_column(head, justify="left" if head in left else "right")
    return table

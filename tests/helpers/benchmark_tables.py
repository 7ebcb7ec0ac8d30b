"""The tables of a benchmark as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table


def shown(tables: Iterable[Table]) -> list[str]:
    """The lines of all tables, on a terminal that is wide enough."""
    console = Console(width=250)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get().splitlines()

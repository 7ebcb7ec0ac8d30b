"""The list of recorded migrations, as ``fakedirty runs list`` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from fakedirty.format.numbers import UNSEEN, milliseconds, size

HEADS = ("migration", "vm", "started", "outcome", "total", "downtime", "sent", "rounds", "fake", "valid")
TO_THE_RIGHT = ("total", "downtime", "sent", "rounds", "fake")


def migrations_table(listed: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each migration.

    Args:
        listed: Rows of the table of migrations, with the sums of ``visited_pages`` and ``fake_pages`` of their rounds.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in HEADS:
        table.add_column(head, justify="right" if head in TO_THE_RIGHT else "left")
    for row in listed:
        fake, visited = row["fake_pages"], row["visited_pages"]
        share = None if fake is None or not visited else fake / visited
        table.add_row(
            row["migration_id"],
            row["vm"],
            row["started_at"][:19].replace("T", " "),
            "arrived" if row["side"] == "destination" else row["outcome"],
            milliseconds(row["total_time_ms"]),
            milliseconds(row["downtime_ms"]),
            size(row["transferred_bytes"]),
            str(row["rounds"] or 0),
            UNSEEN if share is None else f"{share:.0%}",
            _validity(row),
        )
    return table


def _validity(row: Mapping[str, Any]) -> Text:
    match row["valid"]:
        case True:
            return Text("yes", "green")
        case False:
            return Text("NO", "bold red")
        case _:
            return Text(row["totals"] or UNSEEN)

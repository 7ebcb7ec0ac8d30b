"""Joined migrations, as ``fakedirty runs join`` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from fakedirty.format.numbers import UNSEEN, milliseconds
from fakedirty.harmless import harmless

HEADS = ("source", "destination", "started", "downtime", "QEMU reports", "clocks apart", "bounded by", "matched by")


def joined_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each joined record, and notes below: why there is no downtime, and what does not agree.

    Args:
        records: The columns of ``joined.json``.
    """
    notes = [f"{each['source_id']}: {note}" for each in records for note in notes_of(each)]
    caption = Text("\n".join(notes)) if notes else None
    table = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for head in HEADS:
        table.add_column(head)
    for each in records:
        table.add_row(
            _half(each, "source"),
            _half(each, "destination"),
            each["started_at"][:19].replace("T", " "),
            downtime_words(each),
            milliseconds(each["downtime_ms"]),
            f"{each['offset_low_seconds']:+,.3f} s to {each['offset_high_seconds']:+,.3f} s",
            each["offset_by"],
            each["matched_by"],
        )
    return table


def downtime_words(record: Mapping[str, Any]) -> str:
    """The downtime of a joined record, from its least to its greatest."""
    low, high = record["downtime_low_ms"], record["downtime_high_ms"]
    return UNSEEN if low is None else f"{low:,.1f} to {high:,.1f} ms"


def notes_of(record: Mapping[str, Any]) -> list[str]:
    """What there is to note of a joined record."""
    return [harmless(text) for text in (record["downtime_reason"], record["remarks"]) if text]


def _half(record: Mapping[str, Any], side: str) -> Text:
    host = record[f"{side}_host"]
    return Text(harmless(f"{record[f'{side}_vm']} {record[f'{side}_id']}" + (f" on {host}" if host else "")))

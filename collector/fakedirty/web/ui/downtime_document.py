"""What the page shows of a downtime: a sentence, and the parts as bars from the stop of the guest on."""

from __future__ import annotations

from typing import Any

from fakedirty.format.downtime_words import downtime_words, part_words, time_words
from fakedirty.model.downtime import Blackout, Part

BETWEEN = "between"  # the lane of what belongs to no side
LANES = ("destination", BETWEEN, "source")  # from the bottom up

Plain = dict[str, Any]


def downtime_document(found: Blackout | None) -> Plain:
    """The sentence, empty if no part was seen, and a column for each property of the bars.

    A part is drawn if it is known when it began. Its ends are in ms from the stop.
    """
    drawn = [] if found is None else [part for part in found.parts if part.start_ns is not None]
    return {
        "words": "" if found is None else downtime_words(found),
        "bars": {
            "lane": [part.side or BETWEEN for part in drawn],
            "left": [(part.start_ns or 0) / 1e6 for part in drawn],
            "right": [((part.start_ns or 0) + part.duration_ns) / 1e6 for part in drawn],
            "text": [_text(part) for part in drawn],
        },
    }


def _text(part: Part) -> str:
    """A part in words."""
    counted = "" if part.counted_ns is None else f", {time_words(part.counted_ns)} of it counted for this part"
    where = part.side or "between source and destination"
    return (
        f"{part_words(part)} ({where}): {time_words(part.duration_ns)}, {time_words(part.start_ns or 0)} after the "
        f"stop{counted}"
    )

"""The columns that the plots are drawn from. A round is drawn from its start to nearly its end.

What a level cannot see, and a class without pages, is None, which is not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

from fakedirty.format.numbers import UNSEEN, exact, seconds, size
from fakedirty.model.migration import Migration
from fakedirty.model.round import CLASSES, Round

MOST_ROUNDS = 1000  # the latest: more could not be distinguished
DRAWN = 0.95  # of a round's time: the gap separates it from the next one

Columns = dict[str, list[float | str | None]]


def rounds_series(migration: Migration) -> Columns:
    """Pages of each round by class, and as ``unclassified`` if they were counted without classes."""
    rounds = _drawn(migration)
    columns: Columns = {
        "left": [r.start_seconds for r in rounds],
        "right": [r.start_seconds + DRAWN * r.duration_seconds for r in rounds],
        "text": [_text(r) for r in rounds],
    }
    below = [0] * len(rounds)
    for name, counts in _heights(rounds).items():
        above = [start + count for start, count in zip(below, counts, strict=True)]
        columns[f"{name}_bottom"] = [start if count else None for start, count in zip(below, counts, strict=True)]
        columns[f"{name}_top"] = [end if count else None for end, count in zip(above, counts, strict=True)]
        below = above
    return columns


def sums_series(migration: Migration) -> Columns:
    """Bytes sent and saved up to the end of each round, in MB; None where a round could not see them."""
    rounds = _drawn(migration)
    begin = len(migration.rounds) - len(rounds)
    columns: Columns = {"seconds": [rounds[0].start_seconds if rounds else 0.0]}
    columns["seconds"] += [r.start_seconds + r.duration_seconds for r in rounds]
    for title, name in (("sent", "transferred_bytes"), ("saved", "saved_bytes")):
        total = sum(getattr(r, name) or 0 for r in migration.rounds[:begin])
        seen = any(getattr(r, name) is not None for r in rounds)
        column: list[float | str | None] = [total / 1e6 if seen else None]
        for r in rounds:
            value = getattr(r, name)
            total += value or 0
            column.append(None if value is None else total / 1e6)
        columns[title] = column
    return columns


def marks(migration: Migration) -> Columns:
    """Toggles, and the stop of the guest, with their times in seconds from the start."""
    events = [((each.time_ns - migration.start_ns) / 1e9, str(each.to_mode)) for each in tuple(migration.toggles)]
    if migration.stopped_ns is not None and not migration.incoming:
        events.append(((migration.stopped_ns - migration.start_ns) / 1e9, "stop"))
    return {"seconds": [at for at, _ in events], "word": [word for _, word in events]}


def _drawn(migration: Migration) -> Sequence[Round]:
    return tuple(migration.rounds[-MOST_ROUNDS:])


def _heights(rounds: Sequence[Round]) -> dict[str, list[int]]:
    """Pages by class, from the bottom up; 0 where nothing is to be drawn."""
    classes = {
        name.removesuffix("_pages"): [getattr(r, name) or 0 if _classified(r) else 0 for r in rounds]
        for name in CLASSES
    }
    return {**classes, "unclassified": [0 if _classified(r) else _visits(r) or 0 for r in rounds]}


def _classified(r: Round) -> bool:
    return any(getattr(r, name) is not None for name in CLASSES)


def _visits(r: Round) -> int | None:
    """Visited pages; those that were sent where the level sees no others."""
    if r.visited_pages is not None:
        return r.visited_pages
    if r.normal_pages is None and r.zero_pages is None:
        return None
    return (r.normal_pages or 0) + (r.zero_pages or 0)


def _text(r: Round) -> str:
    """A round in words."""
    classes = ", ".join(f"{exact(getattr(r, name))} {name.removesuffix('_pages')}" for name in CLASSES)
    mode = UNSEEN if r.mode is None else str(r.mode)
    return (
        f"round {r.round} ({r.kind}, mode {mode}), {seconds(r.duration_seconds)} s: {exact(_visits(r))} pages; "
        f"{classes}; sent {size(r.transferred_bytes)}, saved {size(r.saved_bytes)}"
    )

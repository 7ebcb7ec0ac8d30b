"""A round of pre-copy: its counts, and the law that they obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .enums import Kind, Mode


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one migration; pages are target pages, None is what the source cannot see.

    The fields are the columns of ``rounds.csv`` by the same names, in the same order.
    ``start_seconds`` counts from the start of the migration on the monotonic clock.
    """

    round: int
    kind: Kind
    mode: Mode | None
    hash: str | None
    start_seconds: float
    duration_seconds: float
    dirty_pages: int | None = None
    forced_pages: int | None = None
    visited_pages: int | None = None
    first_pages: int | None = None
    changed_pages: int | None = None
    fake_pages: int | None = None
    zero_pages: int | None = None
    normal_pages: int | None = None
    xbzrle_pages: int | None = None
    unchanged_pages: int | None = None
    skipped_pages: int | None = None
    left_pages: int | None = None
    hinted_pages: int | None = None
    transferred_bytes: int | None = None
    saved_bytes: int | None = None
    hash_seconds: float | None = None
    forced_syncs: int | None = None
    lost_events: int = 0
    invalid_reason: str = ""
    sampled_pages: int | None = None
    fake_pages_low: int | None = None
    fake_pages_high: int | None = None
    remark: str = ""

    @property
    def valid(self) -> bool:
        """Whether the counts obey conservation and nothing was lost or missed; with a remark, as far as it goes."""
        return not self.invalid_reason


CLASSES = ("first_pages", "changed_pages", "fake_pages")
DISPOSITIONS = ("normal_pages", "zero_pages", "xbzrle_pages", "unchanged_pages", "skipped_pages")
MARKED = ("dirty_pages", "forced_pages")
ACCOUNTED = ("visited_pages", "left_pages", "hinted_pages")

# the two sides of each law, by column
LAWS = (
    (("visited_pages",), CLASSES),
    (("visited_pages",), DISPOSITIONS),
    (MARKED, ACCOUNTED),
)


# that every visited page was sent or skipped: of whole migrations true, of rounds where no other thread counts
SENT_LAW = LAWS[1]
OTHER_LAWS = tuple(law for law in LAWS if law is not SENT_LAW)


def broken_law(counts: Round, laws: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = LAWS) -> str:
    """The first law of conservation that `counts` break, in words; empty when they obey all.

    A law with a side of which any part is unseen (None) is not judged: what is unseen may be anything.
    """
    for left, right in laws:
        sums = _weigh(counts, left), _weigh(counts, right)
        if None not in sums and sums[0] != sums[1]:
            return f"{_spell(left)} = {sums[0]} but {_spell(right)} = {sums[1]}"
    return ""


def conserved(counts: Round) -> bool | None:
    """Whether `counts` obey every law that can be judged; None where not one of them can be.

    A round with a remark is held to those laws alone that hold of it by itself.
    """
    laws = OTHER_LAWS if counts.remark else LAWS
    judged = [(_weigh(counts, left), _weigh(counts, right)) for left, right in laws]
    seen = [sums for sums in judged if None not in sums]
    return all(left == right for left, right in seen) if seen else None


def uncounted(counts: Round) -> int | None:
    """Visited pages that are neither sent nor skipped by the round's own counts; None where it has not all of them."""
    visited, sent = (_weigh(counts, side) for side in SENT_LAW)
    return None if visited is None or sent is None else visited - sent


def known(rounds: Sequence[Round], column: str) -> int | None:
    """The sum of a column over rounds; None where any of them could not see it."""
    values: list[int | None] = [getattr(r, column) for r in rounds]
    seen = [value for value in values if value is not None]
    return sum(seen) if len(seen) == len(values) else None


def _weigh(counts: Round, columns: tuple[str, ...]) -> int | None:
    values: list[int | None] = [getattr(counts, column) for column in columns]
    seen = [value for value in values if value is not None]
    return sum(seen) if len(seen) == len(values) else None


def _spell(columns: tuple[str, ...]) -> str:
    return " + ".join(column.removesuffix("_pages") for column in columns)

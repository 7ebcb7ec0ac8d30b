"""A round of pre-copy migration: its counts, and the laws of conservation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .enums import Kind, Mode


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one migration.

    The fields are the columns of ``rounds.csv``, by the same names and in the same order; docs/data-dictionary.md
    describes each. Pages are target pages. A count is None where the source cannot see it. `start_seconds` counts from
    the start of the migration on the monotonic clock.
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
        """Whether the counts obey the laws and no event was lost; of a round with a remark, only what it can show."""
        return not self.invalid_reason


CLASSES = ("first_pages", "changed_pages", "fake_pages")
DISPOSITIONS = ("normal_pages", "zero_pages", "xbzrle_pages", "unchanged_pages", "skipped_pages")
MARKED = ("dirty_pages", "forced_pages")
ACCOUNTED = ("visited_pages", "left_pages", "hinted_pages")

Law = tuple[tuple[str, ...], tuple[str, ...]]  # columns whose sums are equal

LAWS: tuple[Law, ...] = (
    (("visited_pages",), CLASSES),
    (("visited_pages",), DISPOSITIONS),
    (MARKED, ACCOUNTED),
)


# Every visited page was sent or skipped. This holds of a whole migration, and of a single round where no other thread
# counts pages.
SENT_LAW = LAWS[1]
OTHER_LAWS = tuple(law for law in LAWS if law is not SENT_LAW)


def broken_law(counts: Round, laws: Sequence[Law] = LAWS) -> str:
    """The first of `laws` that `counts` break, with both sums; empty if they break none.

    A law is not judged where any of its columns is None.
    """
    for left, right in laws:
        sums = _side(counts, left), _side(counts, right)
        if None not in sums and sums[0] != sums[1]:
            return f"{_names(left)} = {sums[0]} but {_names(right)} = {sums[1]}"
    return ""


def conserved(counts: Round) -> bool | None:
    """Whether `counts` obey every law that can be judged; None if none can be.

    A round with a remark is not judged by the law of sent pages.
    """
    laws = OTHER_LAWS if counts.remark else LAWS
    judged = [(_side(counts, left), _side(counts, right)) for left, right in laws]
    seen = [sums for sums in judged if None not in sums]
    return all(left == right for left, right in seen) if seen else None


def uncounted(counts: Round) -> int | None:
    """Pages that were visited, and that the round counts neither as sent nor as skipped.

    Negative where it counts more pages as sent or skipped than as visited. None where any of these counts is None.
    """
    visited, sent = (_side(counts, side) for side in SENT_LAW)
    return None if visited is None or sent is None else visited - sent


def total_if_known(values: Iterable[int | None]) -> int | None:
    """The sum of `values`; None if any of them is None.

    >>> total_if_known([1, 2]), total_if_known([1, None]), total_if_known([])
    (3, None, 0)
    """
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def known(rounds: Sequence[Round], column: str) -> int | None:
    """The sum of a column over rounds; None if any round could not see it."""
    return total_if_known(getattr(r, column) for r in rounds)


def _side(counts: Round, columns: tuple[str, ...]) -> int | None:
    return total_if_known(getattr(counts, column) for column in columns)


def _names(columns: tuple[str, ...]) -> str:
    return " + ".join(column.removesuffix("_pages") for column in columns)

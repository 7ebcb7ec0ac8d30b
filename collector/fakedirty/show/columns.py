"""The columns of the live table: narrow ones that fit 80 characters, wide ones from 120 on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fakedirty.format.numbers import UNSEEN, compact, exact, seconds
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round

SHORT_KINDS = {Kind.BULK: "bulk", Kind.ITERATIVE: "iter", Kind.SWITCHOVER: "swch"}
SHORT_MODES = {Mode.OFF: "off", Mode.OBSERVE: "obs", Mode.SKIP: "skip"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: in the heading.
        width: characters.
        cell: formats the value of a round.
        style: of rich.
        left: align to the left.
    """

    title: str
    width: int
    cell: Callable[[Round], str]
    style: str = ""
    left: bool = False


def _pages(name: str, format_count: Callable[[int | None], str]) -> Callable[[Round], str]:
    return lambda r: format_count(getattr(r, name))


def _mark(r: Round) -> str:
    return "" if r.valid else "!"


NARROW = (
    Column("rnd", 3, lambda r: str(r.round), "bold"),
    Column("kind", 4, lambda r: SHORT_KINDS[r.kind], left=True),
    Column("mode", 4, lambda r: UNSEEN if r.mode is None else SHORT_MODES[r.mode], "magenta", left=True),
    Column("dirty", 5, _pages("dirty_pages", compact)),
    Column("visit", 5, _pages("visited_pages", compact)),
    Column("first", 5, _pages("first_pages", compact), "dim"),
    Column("chngd", 5, _pages("changed_pages", compact), "yellow"),
    Column("fake", 5, _pages("fake_pages", compact), "red"),
    Column("zero", 5, _pages("zero_pages", compact), "dim"),
    Column("skip", 5, _pages("skipped_pages", compact), "green"),
    Column("left", 5, _pages("left_pages", compact)),
    Column("sent", 5, lambda r: compact(r.transferred_bytes), "cyan"),
    Column("saved", 5, lambda r: compact(r.saved_bytes), "green"),
    Column("secs", 4, lambda r: seconds(r.duration_seconds)),
    Column("", 1, _mark, "bold red"),
)

WIDE = (
    Column("round", 5, lambda r: str(r.round), "bold"),
    Column("kind", 10, lambda r: str(r.kind), left=True),
    Column("mode", 7, lambda r: UNSEEN if r.mode is None else str(r.mode), "magenta", left=True),
    Column("dirty", 9, _pages("dirty_pages", exact)),
    Column("visited", 9, _pages("visited_pages", exact)),
    Column("first", 8, _pages("first_pages", exact), "dim"),
    Column("changed", 9, _pages("changed_pages", exact), "yellow"),
    Column("fake", 9, _pages("fake_pages", exact), "red"),
    Column("zero", 8, _pages("zero_pages", exact), "dim"),
    Column("skipped", 8, _pages("skipped_pages", exact), "green"),
    Column("left", 9, _pages("left_pages", exact)),
    Column("sent", 5, lambda r: compact(r.transferred_bytes), "cyan"),
    Column("saved", 5, lambda r: compact(r.saved_bytes), "green"),
    Column("secs", 4, lambda r: seconds(r.duration_seconds)),
    Column("", 1, _mark, "bold red"),
)


def width(columns: tuple[Column, ...]) -> int:
    """Characters of a line, with one space between columns."""
    return sum(column.width for column in columns) + len(columns) - 1


def fitting(available: int) -> tuple[Column, ...]:
    """The widest columns that fit `available` characters; the narrow ones if none do."""
    return WIDE if width(WIDE) <= available else NARROW

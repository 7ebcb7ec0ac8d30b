"""A table of two or more migrations side by side, to compare treatments with the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from fakedirty.format.numbers import UNSEEN, exact, milliseconds, size
from fakedirty.model.migration import Migration

Value = Callable[[Migration], float | None]


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """One line of the table.

    Attributes:
        title: its name.
        value: computes the number of a migration; None if it is not known.
        text: formats the number.
        note: follows the number, to say that it is incomplete; empty if it is not.
    """

    title: str
    value: Value
    text: Callable[[int | None], str]
    note: Callable[[Migration], str] = lambda _: ""


def _seen(column: str) -> Value:
    """The sum over the rounds that have a value in the column; None if none has."""

    def value(migration: Migration) -> float | None:
        values: list[float | None] = [getattr(r, column) for r in migration.rounds]
        seen = [each for each in values if each is not None]
        return sum(seen) if seen else None

    return value


def _coverage(column: str) -> Callable[[Migration], str]:
    """How many rounds have a value in the column, if not all or none."""

    def note(migration: Migration) -> str:
        seen = sum(getattr(r, column) is not None for r in migration.rounds)
        return f" ({seen} of {len(migration.rounds)} rounds)" if 0 < seen < len(migration.rounds) else ""

    return note


def _pages(word: str) -> ComparisonLine:
    column = f"{word}_pages"
    return ComparisonLine(f"{word} pages", _seen(column), exact, _coverage(column))


VALID = {True: "yes", False: "NO", None: "unchecked"}

LINES = (
    ComparisonLine("total time", lambda m: m.reported("total-time"), milliseconds),
    ComparisonLine("downtime", lambda m: m.reported("downtime"), milliseconds),
    ComparisonLine("sent", lambda m: m.reported("ram", "transferred"), size),
    ComparisonLine("saved", _seen("saved_bytes"), size, _coverage("saved_bytes")),
    ComparisonLine("rounds", lambda m: len(m.rounds), exact),
    *(_pages(word) for word in ("visited", "first", "changed", "fake", "normal", "zero", "skipped")),
)


def comparison(runs: Sequence[tuple[str, Migration]]) -> Table:
    """The table of some migrations.

    Args:
        runs: title and migration of each. If there are two, a last column has the second as a share of the first.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title, _ in runs:
        table.add_column(Text(title), justify="right")
    shares = len(runs) == 2
    if shares:
        table.add_column(Text(f"{runs[1][0]} / {runs[0][0]}"), justify="right", style="dim")
    table.add_row("outcome", *(_outcome(migration) for _, migration in runs))
    for line in LINES:
        values = [line.value(migration) for _, migration in runs]
        notes = [line.note(migration) for _, migration in runs]
        cells = [line.text(None if v is None else int(v)) + note for v, note in zip(values, notes, strict=True)]
        share = [UNSEEN if any(notes) else _share(*values)] if shares else []
        table.add_row(line.title, *cells, *share)
    table.add_row("valid", *(VALID[migration.valid] for _, migration in runs))
    return table


def _outcome(migration: Migration) -> str:
    return migration.state if migration.ended else "unfinished"


def _share(first: float | None, second: float | None) -> str:
    return UNSEEN if not first or second is None else f"{100 * second / first:.1f} %"

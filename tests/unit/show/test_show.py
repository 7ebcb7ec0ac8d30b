"""The screen: figures that fit, tables right at 80 and at 120 columns, and as lines in a pipe."""

from __future__ import annotations

import io

import pytest
from fakedirty.errors import FakedirtyError
from fakedirty.format.numbers import compact, exact, milliseconds, seconds, size
from fakedirty.model.enums import Level
from fakedirty.model.events import EventsLost, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.show.columns import NARROW, WIDE, fitting, width
from fakedirty.show.compare import comparison
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, LOSS, START, again, batch, bulk, made, tell, unseen
from rich.console import Console

FIGURES = {
    "0": 0, "1": 1, "9999": 9_999, "10.0k": 10_000, "62.1k": 62_100, "131k": 131_072, "1.00M": 999_500,
    "7.65M": 7_654_321, "3.15G": 3.15e9, "371M": 371e6, "-": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), FIGURES.items())
def test_figures(text: str, value: float | None) -> None:
    assert compact(value) == text


@given(st.integers(0, 2**63))
def test_figures_fit_and_never_lie_about_nothing(value: int) -> None:
    text = compact(value)
    assert len(text) <= 5
    assert (text == "0") == (value == 0)
    unit = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}.get(text[-1])
    if unit:
        assert float(text[:-1]) * unit == pytest.approx(value, rel=0.006)


def test_a_time_that_was_not_seen_is_a_dash() -> None:
    assert [text(None) for text in (compact, exact, seconds, milliseconds, size)] == ["-"] * 5


@given(st.floats(0, 9_999))
def test_seconds_fit(value: float) -> None:
    assert len(seconds(value)) <= 4


def test_words_for_figures() -> None:
    assert [exact(131_072), exact(None)] == ["131,072", "-"]
    assert [milliseconds(42), milliseconds(2_850), milliseconds(None)] == ["42 ms", "2.85 s", "-"]
    assert [size(371e6), size(12), size(None)] == ["371 MB", "12 B", "-"]


def shown(columns: int, migration: Migration, events: object = EVENTS, terminal: bool = False) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=columns, force_terminal=terminal, color_system="standard" if terminal else None)
    tell(migration, [LiveTable(console)], events)  # type: ignore[arg-type]
    return text.getvalue().splitlines()


def test_widths() -> None:
    assert width(NARROW) <= 80
    assert width(WIDE) <= 120
    assert fitting(80) == NARROW
    assert fitting(119) == NARROW
    assert fitting(120) == WIDE
    assert fitting(40) == NARROW


NARROW_TABLE = """\
vm: migration m1, level patched
rnd kind mode dirty visit first chngd  fake  zero  skip  left  sent saved secs
-- mode off -> observe (xxh3-64) after 0.00 s, before round 1
  1 bulk obs   133k  133k  133k     0     0 61.0k     0     0  294M     0 4.25
  2 iter obs  65.0k 65.0k     0  5000 60.0k     0     0     3  266M     0 0.50
-- mode observe -> skip (xxh3-64) after 5.00 s, in round 3
  3 iter skip 65.0k 65.0k     0  5000 60.0k     0 60.0k     3 20.5M  246M 0.50
  4 swch skip 65.0k 65.0k     0  5000 60.0k     0 60.0k     3 20.5M  246M 0.50
completed; total 6.90 s; downtime 42 ms; sent 602 MB; 4 rounds; valid
"""


def test_eighty_columns() -> None:
    assert shown(80, made()) == NARROW_TABLE.splitlines()


def test_a_hundred_and_twenty_columns() -> None:
    lines = shown(120, made())
    words = "2 iterative observe 64,990 65,000 0 5,000 60,000 0 0 3 266M 0 0.50"
    assert lines[4].split() == words.split()
    assert lines[1].split() == [column.title for column in WIDE if column.title]
    assert all(len(line) <= 120 for line in lines)


def test_the_screen_has_the_words_of_the_pipe_and_colours() -> None:
    lines = shown(80, made(), terminal=True)
    assert "\x1b[" in lines[0]
    assert len(lines) == len(NARROW_TABLE.splitlines())


def test_an_invalid_round_is_marked_and_its_reason_printed() -> None:
    lines = shown(80, made(), [MigrationStarted(START, partial=True), *LOSS, RoundEnded(START, bulk())])
    assert "already running" in lines[2]
    assert lines[3] == "!! 7 events lost (ring buffer full)"
    assert lines[4].endswith(" 4.25 !")
    assert len(lines[4]) == 80
    assert lines[5] == "    ! round 1 is invalid: 7 events lost"
    assert "; invalid: 1 of 1 rounds, 7 events lost, joined while it ran, " in lines[6]
    assert lines[6].startswith("not observed to its end")


def test_what_is_unseen_is_a_dash() -> None:
    line = shown(80, made(), [RoundEnded(START, unseen())])[2]
    assert line.split() == ["1", "bulk", *["-"] * 9, "4096", "-", "1.00"]


def test_a_name_with_marks_of_markup_is_shown_as_it_is() -> None:
    assert shown(80, made("[red]vm[/red]"), [])[0].startswith("[red]vm[/red]: ")


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_who_leaves_ends_the_table_only() -> None:
    table = LiveTable(Terminal(file=Closed()))
    with pytest.raises(FakedirtyError, match="nobody reads"):
        table.started(made())
    table.started(made())  # nothing is written any more


def compared(*runs: tuple[str, Migration]) -> dict[str, list[str]]:
    text = io.StringIO()
    Console(file=text, width=100).print(comparison(runs))
    rows = {}
    for line in text.getvalue().splitlines():
        title, *cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        rows[title] = cells
    return rows


def test_two_runs_side_by_side() -> None:
    vanilla = tell(made(level=Level.STOCK), [], [RoundEnded(START, bulk()), RoundEnded(START, again(2, skip=False))])
    skip = tell(made(), [])
    rows = compared(("vanilla", vanilla), ("skip", skip))
    assert rows["vanilla"] == ["skip", "skip / vanilla"]
    assert rows["outcome"] == ["unfinished", "completed"]
    assert rows["total time"] == ["-", "6.90 s", "-"]
    assert rows["rounds"] == ["2", "4", "200.0 %"]
    assert rows["fake pages"] == ["60,000", "180,000", "300.0 %"]
    assert rows["skipped pages"] == ["0", "120,000", "-"]
    assert rows["saved"] == ["0 B", "492 MB", "-"]
    assert rows["valid"] == ["unchecked", "yes"]


def test_rounds_that_did_not_see_are_said_to_be_left_out() -> None:
    partly = tell(made(), [], [RoundEnded(START, unseen()), RoundEnded(START, again(2, skip=True)), *LOSS])
    rows = compared(("[a]", partly), ("b", tell(made(), [], [StateChanged(START, "failed")])))
    assert rows["[a]"] == ["b", "b / [a]"]
    assert rows["fake pages"] == ["60,000 (1 of 2 rounds)", "-", "-"]
    assert rows["outcome"] == ["unfinished", "failed"]
    assert rows["valid"] == ["NO", "unchecked"]


def test_pages_and_late_losses_do_not_disturb() -> None:
    text = io.StringIO()
    table, migration = LiveTable(Console(file=text, width=80)), made()
    tell(migration, [table], [], end=False)
    table.pages(migration, batch(0, 3))
    event = EventsLost(START, 1, "late")
    migration.apply(event)
    table.changed(migration, event)
    assert "1 events lost" in text.getvalue()

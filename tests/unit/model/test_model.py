"""The model: enumerations, rounds and their laws, and migrations that apply events."""

from __future__ import annotations

import dataclasses

import pytest
from fakedirty.model.enums import Disposition, Kind, Level, Mode, PageClass, StringEnum
from fakedirty.model.events import EventsLost, FinalReport, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import (
    ACCOUNTED,
    CLASSES,
    DISPOSITIONS,
    LAWS,
    MARKED,
    Round,
    broken_law,
    conserved,
    uncounted,
)
from fakedirty.model.trace import Channel
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, LOSS, REPORT, SECOND, START, again, bulk, made, tell, unseen

COUNTS = st.integers(0, 2**40)
LAWFUL = sorted({column for law in LAWS for side in law for column in side})


@st.composite
def lawful_rounds(draw: st.DrawFn) -> Round:
    """Rounds that obey every law, whatever else is true of them."""
    visited = draw(COUNTS)
    parts: dict[str, int] = {"visited_pages": visited}
    for columns in (CLASSES, DISPOSITIONS):
        rest = visited
        for column in columns[:-1]:
            parts[column] = draw(st.integers(0, rest))
            rest -= parts[column]
        parts[columns[-1]] = rest
    parts |= {"left_pages": draw(COUNTS), "hinted_pages": draw(COUNTS)}
    marked = visited + parts["left_pages"] + parts["hinted_pages"]
    parts["forced_pages"] = draw(st.integers(0, marked))
    parts["dirty_pages"] = marked - parts["forced_pages"]
    return Round(draw(st.integers(1, 999)), draw(st.sampled_from(Kind)), Mode.SKIP, "xxh3-64", 0.0, 1.0, **parts)


@pytest.mark.parametrize("words", [Kind, Mode, PageClass, Disposition, Level])
def test_members_are_parsed_from_their_words(words: type[StringEnum]) -> None:
    assert [words.parse(str(word)) for word in words] == list(words)
    assert [int(word) for word in words] == list(range(len(words)))
    with pytest.raises(ValueError, match=str(next(iter(words)))):
        words.parse("nonsense")


def test_every_class_and_disposition_has_its_column_in_the_order_of_its_number() -> None:
    assert tuple(f"{word}_pages" for word in PageClass) == CLASSES
    assert tuple(f"{word}_pages" for word in Disposition) == DISPOSITIONS
    assert {*CLASSES, *DISPOSITIONS, *MARKED, *ACCOUNTED} <= set(Round.__dataclass_fields__)


@given(lawful_rounds())
def test_what_obeys_the_laws_is_valid(counts: Round) -> None:
    assert broken_law(counts) == ""
    assert conserved(counts) is True
    migration = tell(made(), [], [RoundEnded(START, counts)], end=False)
    assert migration.valid
    assert migration.rounds == [counts]


@given(lawful_rounds(), st.sampled_from(LAWFUL), st.integers(1, 1000))
def test_a_single_page_too_many_breaks_a_law(counts: Round, column: str, extra: int) -> None:
    wrong = dataclasses.replace(counts, **{column: getattr(counts, column) + extra})
    assert conserved(wrong) is False
    assert column.removesuffix("_pages") in broken_law(wrong)
    (judged,) = tell(made(), [], [RoundEnded(START, wrong)]).rounds
    assert not judged.valid
    assert judged.invalid_reason == broken_law(wrong)


@given(lawful_rounds(), st.sets(st.sampled_from(LAWFUL), min_size=1))
def test_what_is_unseen_breaks_nothing(counts: Round, columns: set[str]) -> None:
    assert broken_law(dataclasses.replace(counts, **dict.fromkeys(columns))) == ""


#: the laws of conservation as the design states them, not as the code lists them: both sides are 100 pages
VISITED = {
    "visited_pages": 100,
    "first_pages": 10,
    "changed_pages": 25,
    "fake_pages": 65,
    "normal_pages": 30,
    "zero_pages": 4,
    "xbzrle_pages": 5,
    "unchanged_pages": 6,
    "skipped_pages": 55,
}
DIRTY = {
    "dirty_pages": 93,
    "forced_pages": 7,
    "visited_pages": 60,
    "left_pages": 38,
    "hinted_pages": 2,
}
BROKEN = {
    "first_pages": "visited = 100 but first + changed + fake = 101",
    "changed_pages": "visited = 100 but first + changed + fake = 101",
    "fake_pages": "visited = 100 but first + changed + fake = 101",
    "normal_pages": "visited = 100 but normal + zero + xbzrle + unchanged + skipped = 101",
    "zero_pages": "visited = 100 but normal + zero + xbzrle + unchanged + skipped = 101",
    "xbzrle_pages": "visited = 100 but normal + zero + xbzrle + unchanged + skipped = 101",
    "unchanged_pages": "visited = 100 but normal + zero + xbzrle + unchanged + skipped = 101",
    "skipped_pages": "visited = 100 but normal + zero + xbzrle + unchanged + skipped = 101",
}
BROKEN_BY_MARKS = {
    "dirty_pages": "dirty + forced = 101 but visited + left + hinted = 100",
    "forced_pages": "dirty + forced = 101 but visited + left + hinted = 100",
    "visited_pages": "dirty + forced = 100 but visited + left + hinted = 101",
    "left_pages": "dirty + forced = 100 but visited + left + hinted = 101",
    "hinted_pages": "dirty + forced = 100 but visited + left + hinted = 101",
}


def counted(**pages: int) -> Round:
    return Round(2, Kind.ITERATIVE, Mode.SKIP, "xxh3-64", 0.0, 1.0, **pages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pages", "column", "law"),
    [(VISITED, *each) for each in BROKEN.items()] + [(DIRTY, *each) for each in BROKEN_BY_MARKS.items()],
)
def test_each_column_of_each_law_counts(pages: dict[str, int], column: str, law: str) -> None:
    assert (broken_law(counted(**pages)), conserved(counted(**pages))) == ("", True)
    wrong = counted(**pages | {column: pages[column] + 1})
    assert (broken_law(wrong), conserved(wrong)) == (law, False)


@pytest.mark.parametrize(("pages", "columns"), [(VISITED, BROKEN), (DIRTY, BROKEN_BY_MARKS)])
def test_a_law_with_an_unseen_column_is_not_judged(pages: dict[str, int], columns: dict[str, str]) -> None:
    for column in columns:
        seen = {name: count for name, count in pages.items() if name != column}
        assert broken_law(counted(**seen)) == ""
    assert conserved(counted(visited_pages=5)) is None
    assert conserved(counted(visited_pages=5, left_pages=1, hinted_pages=1, dirty_pages=7)) is None


def test_the_first_law_that_is_broken_is_reported() -> None:
    wrong = counted(**VISITED | {"fake_pages": 66, "normal_pages": 31})
    assert broken_law(wrong).endswith("first + changed + fake = 101")


def test_a_round_with_a_remark_is_not_judged_by_the_pages_sent() -> None:
    """Its pages are in the counts of other rounds; the classes and the marks are its own."""
    late = dataclasses.replace(counted(**VISITED | {"normal_pages": 20}), remark="10 pages are in later rounds")
    assert conserved(late) is True
    assert conserved(dataclasses.replace(late, fake_pages=66)) is False
    assert uncounted(late) == 10
    assert uncounted(counted(**VISITED)) == 0
    assert uncounted(counted(**VISITED | {"normal_pages": 33})) == -3
    assert uncounted(counted(visited_pages=5)) is None


def test_where_nothing_is_seen_conservation_is_unknown() -> None:
    assert conserved(unseen()) is None


@given(st.lists(lawful_rounds(), max_size=5))
def test_totals_add_up_and_one_unseen_round_makes_them_unknown(rounds: list[Round]) -> None:
    migration = tell(made(), [], [RoundEnded(START, each) for each in rounds])
    expected = sum(each.fake_pages or 0 for each in rounds) if rounds else None
    assert migration.total("fake_pages") == expected
    migration.apply(RoundEnded(START, unseen()))
    assert migration.total("fake_pages") is None


def test_a_whole_migration() -> None:
    migration = tell(made(), [])
    assert migration.valid
    assert migration.ended
    assert migration.end_ns == START + 7 * SECOND
    assert [toggle.to_mode for toggle in migration.toggles] == [Mode.OBSERVE, Mode.SKIP]
    assert migration.reported("ram", "transferred") == 601_500_000
    assert migration.reported("ram", "nothing") is None
    assert migration.reported("status") is None
    assert migration.reported("nothing", "at-all") is None


def test_a_toggle_is_read_back_from_the_next_report_of_qemu() -> None:
    def toggle(number: int, before: Mode, after: Mode) -> ModeChanged:
        return ModeChanged(START, number, before, after, "xxh3-64")

    events = [
        first := toggle(0, Mode.OFF, Mode.OBSERVE),
        second := toggle(1, Mode.SKIP, Mode.OFF),
        RoundEnded(START, dataclasses.replace(bulk(), mode=Mode.SKIP)),
        last := toggle(2, Mode.OFF, Mode.SKIP),
    ]
    migration = tell(made(), [], events)
    # QEMU denies both: the first by what it left at the second, the second by the round's end
    assert [migration.read_back(each) for each in (first, second, last)] == [Mode.SKIP, Mode.SKIP, None]


def test_losses_make_the_next_round_invalid_and_no_other() -> None:
    events = [
        RoundEnded(START, bulk()),
        *LOSS,
        *LOSS,
        RoundEnded(START, again(2, True)),
        RoundEnded(START, again(3, True)),
    ]
    migration = tell(made(), [], events)
    assert [each.lost_events for each in migration.rounds] == [0, 14, 0]
    assert [each.valid for each in migration.rounds] == [True, False, True]
    assert "14 events lost" in migration.rounds[1].invalid_reason
    assert migration.lost_events == {"ring buffer full": 14}
    assert not migration.valid


def test_losses_after_the_last_round_still_count() -> None:
    assert not tell(made(), [], [*EVENTS, *LOSS]).valid
    assert tell(made(), [], [*EVENTS]).valid


def test_every_reason_is_reported() -> None:
    wrong = dataclasses.replace(bulk(), invalid_reason="from QEMU", visited_pages=1)
    event = RoundEnded(START, wrong, seen={"visited_pages": 2, "fake_pages": 0}, flaw="reader late")
    (judged,) = tell(made(), [], [EventsLost(START, 3, "map full"), event]).rounds
    for reason in ("from QEMU", "reader late", "visited = 1", "QEMU counts 1, the probe 2", "3 events lost"):
        assert reason in judged.invalid_reason
    assert "fake_pages" not in judged.invalid_reason


def test_a_second_source_is_not_held_against_what_qemu_does_not_count() -> None:
    (judged,) = tell(made(), [], [RoundEnded(START, unseen(), seen={"fake_pages": 5})]).rounds
    assert judged.valid


def test_joining_late_is_partial_and_not_valid() -> None:
    migration = tell(made(), [], [MigrationStarted(START, partial=True), RoundEnded(START, bulk())])
    assert migration.partial
    assert not migration.valid


@pytest.mark.parametrize("state", sorted(ENDED))
def test_ends(state: str) -> None:
    migration = tell(made(), [], [StateChanged(START, "setup"), StateChanged(START + 1, "active")])
    assert not migration.ended
    assert migration.end_ns is None
    migration.apply(StateChanged(START + 2, state))
    assert migration.ended
    assert migration.end_ns == START + 2


@pytest.mark.parametrize("state", ["failing", "postcopy-device", "a-state-of-tomorrow"])
def test_newer_states_are_no_ends(state: str) -> None:
    migration = tell(made(), [], [StateChanged(START, "setup"), StateChanged(START + 1, "active")])
    migration.apply(StateChanged(START + 2, state))
    assert (migration.state, migration.ended, migration.end_ns) == (state, False, None)
    assert migration.past_rounds is (state == "postcopy-device")
    migration.apply(StateChanged(START + 3, "failed"))
    assert (migration.ended, migration.end_ns) == (True, START + 3)


def test_the_last_report_stands() -> None:
    migration = tell(made(), [], [FinalReport(START, {"status": "active"}), FinalReport(START, REPORT)])
    assert migration.report == REPORT


def test_channels_of_a_trace_keep_their_numbers() -> None:
    """Recorded traces have them."""
    names = [
        "EVENT",
        "PAGES",
        "LOST",
        "ANSWERS",
        "REPORT",
        "TICK",
        "GONE",
        "RUNSTATE",
        "PEER",
        "LIMITS",
        "SWITCHOVER",
        "ARRIVAL",
    ]
    assert [(channel.name, int(channel)) for channel in Channel] == [(name, n) for n, name in enumerate(names)]


def test_a_round_is_not_of_postcopy_unless_that_is_reported() -> None:
    event = RoundEnded(START, bulk())
    assert (event.postcopy, event.exact, event.flaw, event.seen) == (False, None, "", {})

"""The pages of all rounds against QEMU's own totals: equal, missing, and unchecked ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import (
    Closed,
    Event,
    FinalReport,
    MigrationStarted,
    RoundEnded,
    RoundsComplete,
    StateChanged,
)
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round, conserved
from fakedirty.model.round_check import IN_CHANNELS
from fakedirty.model.totals import Outcome
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import START, made, tell

PAGE = 4096


def sent(number: int, visited: int, normal: int | None = None, zero: int = 0, **fields: Any) -> Round:
    """A round while the mode is off, of which every page is a normal one if nothing else is given."""
    counts = {"xbzrle_pages": 0, "unchanged_pages": 0, "skipped_pages": 0} | fields
    whole = visited - zero if normal is None else normal
    kind = Kind.BULK if number == 1 else Kind.ITERATIVE
    return Round(
        number, kind, Mode.OFF, None, 0.0, 1.0, visited_pages=visited, normal_pages=whole, zero_pages=zero, **counts
    )


def report(normal: int, zero: int = 0, status: str = "completed", **ram: int) -> dict[str, Any]:
    given = {name.replace("_", "-"): value for name, value in ram.items()}
    return {"status": status, "ram": {"normal": normal, "duplicate": zero, "page-size": PAGE, **given}}


def ended(rounds: list[Round], final: dict[str, Any] | None, *before: Event, **options: Any) -> Migration:
    state = options.get("state", "completed")
    follows = options.get("follows", False)
    events: list[Event] = [*before, *(RoundEnded(START, each) for each in rounds), StateChanged(START, state, follows)]
    if final is not None:
        events.append(FinalReport(START, final))
    return tell(made(level=options.get("level", Level.PATCHED)), [], events)


def outcome(migration: Migration) -> tuple[Outcome, bool | None]:
    assert migration.totals is not None
    return migration.totals.outcome, migration.valid


ROUNDS = [sent(1, 100, zero=40), sent(2, 30)]


def test_pages_that_add_up() -> None:
    migration = ended(ROUNDS, report(90, 40))
    assert outcome(migration) == (Outcome.EQUAL, True)
    assert migration.reasons == []
    assert (migration.totals.counted_pages, migration.totals.reported_pages) == (130, 130)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("normal", "zero", "words"),
    [
        (95, 40, "5 of the 135 pages that QEMU sent are in no round"),
        (80, 40, "the rounds count 10 pages more than the 120 that QEMU sent"),
        (89, 41, "the rounds count other kinds of pages than QEMU, 130 in all"),
    ],
)
def test_pages_that_do_not(normal: int, zero: int, words: str) -> None:
    migration = ended(ROUNDS, report(normal, zero))
    assert outcome(migration) == (Outcome.MISSING, False)
    assert migration.reasons == [words]
    assert all(each.valid for each in migration.rounds)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6), st.integers(-900, 900))
def test_one_page_more_or_less_is_noticed(pages: list[tuple[int, int]], off: int) -> None:
    rounds = [sent(number, normal + zero, zero=zero) for number, (normal, zero) in enumerate(pages, 1)]
    migration = ended(rounds, report(sum(normal for normal, _ in pages) + off, sum(zero for _, zero in pages)))
    assert outcome(migration) == ((Outcome.EQUAL, True) if off == 0 else (Outcome.MISSING, False))


def test_a_migration_without_any_round_misses_all_pages() -> None:
    assert outcome(ended([], report(7, 1))) == (Outcome.MISSING, False)


@pytest.mark.parametrize(
    ("state", "final", "words"),
    [
        ("active", report(90, 40), "its end was not observed"),
        ("completed", None, "no QMP monitor answered"),
        ("completed", {}, "no QMP monitor answered"),
        ("failed", {"status": "failed"}, "QEMU reports no totals of a migration that is failed"),
        ("cancelled", {"status": "cancelled"}, "QEMU reports no totals of a migration that is cancelled"),
        ("completed", {"status": "completed", "ram": {"normal": 90}}, "QEMU reports no totals"),
    ],
)
def test_without_totals_nothing_is_called_valid(state: str, final: dict[str, Any] | None, words: str) -> None:
    migration = ended(ROUNDS, final, state=state)
    assert outcome(migration) == (Outcome.UNCHECKED, None)
    assert words in migration.reasons[0]


def test_what_is_wrong_beside_makes_it_invalid_without_totals_too() -> None:
    wrong = replace(ROUNDS[1], visited_pages=31, first_pages=31, changed_pages=0, fake_pages=0)
    assert outcome(ended([ROUNDS[0], wrong], None)) == (Outcome.UNCHECKED, False)


def test_a_failed_migration_is_held_against_the_classes_that_the_series_counts() -> None:
    classes = {"first_pages": 90, "changed_pages": 4, "fake_pages": 6}
    rounds = [sent(1, 100, **classes)]
    totals = {"status": "failed", "fake-dirty": {"first": 90, "changed": 4, "fake": 6}}
    assert outcome(ended(rounds, totals, state="failed")) == (Outcome.EQUAL, True)
    more = {"status": "failed", "fake-dirty": {"first": 95, "changed": 4, "fake": 7}}
    migration = ended(rounds, more, state="failed")
    assert outcome(migration) == (Outcome.MISSING, False)
    assert migration.reasons == ["6 of the 106 pages that QEMU sent are in no round"]
    # of rounds with the mode off it does not know
    assert outcome(ended(ROUNDS, totals, state="failed")) == (Outcome.UNCHECKED, None)


def test_a_round_that_never_came() -> None:
    failed = {"status": "failed"}
    migration = ended(ROUNDS, failed, state="failed", follows=True)
    assert outcome(migration) == (Outcome.UNCHECKED, False)
    assert migration.reasons[0] == "it ended without its last round"
    complete = ended(ROUNDS, failed, state="failed", follows=True)
    complete.apply(RoundsComplete(START))
    assert not complete.lacks_round
    assert complete.valid is None


def test_joined_late() -> None:
    migration = ended(ROUNDS, report(1090, 40), MigrationStarted(START, partial=True))
    assert outcome(migration) == (Outcome.PARTIAL, False)
    assert "1,000 of 1,130 pages" in migration.reasons[-1]
    assert outcome(ended(ROUNDS, report(9), MigrationStarted(START, partial=True)))[0] is Outcome.MISSING


POSTCOPY = StateChanged(START, "postcopy-active")


def test_what_postcopy_moved_is_counted_by_what_is_in_no_round() -> None:
    migration = ended(ROUNDS, report(190, 47, postcopy_bytes=100 * PAGE + 7 * 9, postcopy_requests=3), POSTCOPY)
    assert outcome(migration) == (Outcome.PARTIAL, False)
    totals = migration.totals
    assert totals is not None
    assert (totals.counted_pages, totals.reported_pages, totals.postcopy_pages) == (130, 237, 107)
    assert totals.postcopy_bytes == 100 * PAGE + 63
    assert migration.reasons == ["postcopy moved 107 of 237 pages: they are in no round"]
    assert all(each.valid for each in migration.rounds)


def test_zero_pages_that_postcopy_moved_count_too() -> None:
    migration = ended(ROUNDS, report(90, 47, postcopy_bytes=7 * 9), POSTCOPY)
    assert outcome(migration) == (Outcome.PARTIAL, False)
    assert migration.reasons == ["postcopy moved 7 of 137 pages: they are in no round"]


def test_as_many_pages_of_another_kind_were_not_moved_by_postcopy() -> None:
    migration = ended(ROUNDS, report(91, 39, postcopy_bytes=9 * PAGE), POSTCOPY)
    assert outcome(migration) == (Outcome.MISSING, False)
    assert migration.reasons == [
        "the rounds count other kinds of pages than QEMU, 130 in all; postcopy moved 36,864 bytes"
    ]


def test_a_round_of_postcopy_whose_pages_are_counted_cannot_be_told_from_what_was_sent_before() -> None:
    """QEMU's totals have its pages too: nothing is left that only postcopy can have moved."""
    migration = made()
    events = [*(RoundEnded(START, each) for each in ROUNDS), POSTCOPY, RoundEnded(START, sent(3, 9), postcopy=True)]
    final = FinalReport(START, report(99, 40, postcopy_bytes=9 * PAGE))
    tell(migration, [], [*events, StateChanged(START, "completed"), final])
    assert outcome(migration) == (Outcome.PARTIAL, False)
    assert "cannot tell" in migration.reasons[-1]


def test_pages_that_the_destination_requested_are_postcopys() -> None:
    assert outcome(ended(ROUNDS, report(91, 40, postcopy_requests=1)))[0] is Outcome.PARTIAL
    assert outcome(ended(ROUNDS, report(91, 40, postcopy_requests=0)))[0] is Outcome.MISSING


def test_more_pages_than_postcopy_can_have_moved_are_missing() -> None:
    migration = ended(ROUNDS, report(190, 40, postcopy_bytes=99 * PAGE), POSTCOPY)
    assert outcome(migration) == (Outcome.MISSING, False)
    assert outcome(ended(ROUNDS, report(80, 40, postcopy_bytes=99 * PAGE), POSTCOPY))[0] is Outcome.MISSING


def left(pages: int) -> dict[str, Any]:
    """107 pages are in no round, and QEMU reports how many it left to postcopy."""
    final = report(190, 47, postcopy_bytes=100 * PAGE + 7 * 9)
    return {**final, "postcopy": {"start": START, "pages": pages, "marked": 3}}


def test_what_postcopy_moved_is_what_was_left_to_it() -> None:
    assert outcome(ended(ROUNDS, left(107), POSTCOPY))[0] is Outcome.PARTIAL
    for pages in (106, 108):
        migration = ended(ROUNDS, left(pages), POSTCOPY)
        assert outcome(migration) == (Outcome.MISSING, False)
        assert f"and {pages} were left to it" in migration.reasons[-1]


def test_what_was_under_way_when_postcopy_was_interrupted_is_sent_again() -> None:
    states = (POSTCOPY, StateChanged(START, "postcopy-paused"), StateChanged(START, "postcopy-recover"), POSTCOPY)
    assert outcome(ended(ROUNDS, left(100), *states))[0] is Outcome.PARTIAL
    assert outcome(ended(ROUNDS, left(108), *states))[0] is Outcome.MISSING


def test_postcopy_that_no_state_showed() -> None:
    assert outcome(ended(ROUNDS, report(91, 40, postcopy_bytes=PAGE + 9)))[0] is Outcome.PARTIAL


def test_postcopy_that_had_nothing_to_move() -> None:
    assert outcome(ended(ROUNDS, report(90, 40, postcopy_bytes=0), POSTCOPY)) == (Outcome.EQUAL, True)


def test_the_round_of_postcopy_is_left_out() -> None:
    blind = replace(sent(3, 9), visited_pages=None, normal_pages=None, zero_pages=None)
    migration = made(level=Level.STOCK)
    events = [RoundEnded(START, each) for each in ROUNDS]
    last = RoundEnded(START, blind, flaw="postcopy sends pages from two threads", postcopy=True)
    final = FinalReport(START, report(97, 40, postcopy_bytes=7 * 4104))
    tell(migration, [], [*events, POSTCOPY, last, StateChanged(START, "completed"), final])
    assert outcome(migration) == (Outcome.PARTIAL, False)
    assert migration.totals is not None
    assert migration.totals.postcopy_pages == 7


def test_a_remark_on_what_was_polled_is_none_on_channels() -> None:
    rounds = [RoundEnded(START, replace(polled(1, 60, 40), remark="CPU throttling was active"))]
    migration = made(level=Level.QMP)
    tell(migration, [], [*rounds, StateChanged(START, "completed"), FinalReport(START, report(60, 40))])
    assert outcome(migration) == (Outcome.EQUAL, True)


def polled(number: int, normal: int, zero: int) -> Round:
    return Round(number, Kind.ITERATIVE, None, None, 0.0, 1.0, normal_pages=normal, zero_pages=zero)


@pytest.mark.parametrize("seen", [True, False], ids=["a look saw it", "no look saw it"])
def test_polling_cannot_tell_what_postcopy_moved(seen: bool) -> None:
    """What was polled are QEMU's totals themselves: they always add up."""
    migration = made(level=Level.QMP)
    rounds = [RoundEnded(START, polled(1, 60, 40)), RoundEnded(START, polled(2, 37, 0), postcopy=seen)]
    states: list[Event] = [POSTCOPY] if seen else []
    final = FinalReport(START, report(97, 40, postcopy_bytes=7 * 4104))
    tell(migration, [], [*states, *rounds, StateChanged(START, "completed"), final])
    assert outcome(migration) == (Outcome.PARTIAL, False)
    assert migration.totals is not None
    assert (migration.totals.postcopy_pages, migration.totals.postcopy_bytes) == (None, 7 * 4104)
    assert "cannot tell" in migration.reasons[-1]


def test_rounds_that_were_not_counted_leave_it_unchecked() -> None:
    blind = Round(2, Kind.ITERATIVE, None, None, 0.0, 1.0)
    migration = made(level=Level.STOCK)
    events = [RoundEnded(START, ROUNDS[0]), RoundEnded(START, blind, flaw="multifd sends pages from its own threads")]
    final = FinalReport(START, report(90, 40))
    tell(migration, [], [*events, StateChanged(START, "completed"), final])
    assert outcome(migration) == (Outcome.UNCHECKED, False)
    assert migration.reasons[-1] == ("the pages of 1 rounds were not counted: multifd sends pages from its own threads")


def test_xbzrle_by_trace_events() -> None:
    """Deltas look like normal pages there, and QEMU's count of them goes on over migrations."""
    deltas = replace(sent(2, 30), normal_pages=None, xbzrle_pages=None, unchanged_pages=None)
    rounds = [ROUNDS[0], deltas]

    def of(pages: int, overflow: int) -> Migration:
        final = report(70, 40) | {"xbzrle-cache": {"pages": pages, "overflow": overflow}}
        return ended(rounds, final, level=Level.USDT)

    assert outcome(of(25, 5)) == (Outcome.EQUAL, True)
    assert outcome(of(125, 5)) == (Outcome.UNCHECKED, None)
    assert outcome(of(24, 5)) == (Outcome.MISSING, False)
    assert of(24, 5).reasons == ["the rounds count 1 pages more than the 129 that QEMU sent"]


@pytest.mark.parametrize(
    ("normal", "postcopy", "expected"),
    [(90, [], Outcome.EQUAL), (91, [], Outcome.MISSING), (89, [], Outcome.MISSING), (97, [POSTCOPY], Outcome.PARTIAL)],
)
def test_where_deltas_could_not_be_seen_and_xbzrle_is_off(
    normal: int, postcopy: list[Event], expected: Outcome
) -> None:
    """A QEMU that does not export what only XBZRLE calls: what was visited was sent."""
    rounds = [replace(each, normal_pages=None, xbzrle_pages=None, unchanged_pages=None) for each in ROUNDS]
    moved = 7 * 4104 if postcopy else 0
    migration = ended(rounds, report(normal, 40, postcopy_bytes=moved), *postcopy, level=Level.USDT)
    assert outcome(migration) == (expected, expected is Outcome.EQUAL)


MULTIFD = [sent(1, 100, 60, 38), sent(2, 30, 31, 0), sent(3, 10, 11, 0)]


def test_pages_that_channels_count_later_are_remarked_and_make_nothing_invalid() -> None:
    migration = ended([*MULTIFD, sent(4, 5)], report(107, 38, multifd_bytes=9))
    assert outcome(migration) == (Outcome.EQUAL, True)
    assert [bool(each.remark) for each in migration.rounds] == [True, True, True, False]
    assert "2 of its pages" in migration.rounds[0].remark
    assert "1 pages of earlier rounds" in migration.rounds[1].remark
    assert [conserved(each) for each in migration.rounds] == [None, None, None, True]
    assert migration.total("visited_pages") == 145
    assert migration.totals is not None
    assert migration.totals.late_pages is None


def test_pages_that_channels_count_after_the_last_round() -> None:
    migration = ended(MULTIFD[:1], report(62, 38, multifd_bytes=9))
    assert outcome(migration) == (Outcome.EQUAL, True)
    assert migration.totals is not None
    assert migration.totals.late_pages == 2
    assert (migration.total("normal_pages"), migration.total("zero_pages")) == (60, 38)
    assert outcome(ended(MULTIFD[:1], report(63, 38, multifd_bytes=9))) == (Outcome.MISSING, False)


def test_deltas_and_unchanged_pages_are_not_sent_by_channels() -> None:
    """100 visited pages less 5 deltas and 1 unchanged are 94: 60 and 30, and 4 that a channel counts later."""
    rounds = [sent(1, 100, 60, 30, xbzrle_pages=5, unchanged_pages=1)]
    migration = ended(rounds, report(64, 30, multifd_bytes=9))
    assert outcome(migration) == (Outcome.EQUAL, True)
    assert migration.totals is not None
    assert (migration.totals.counted_pages, migration.totals.late_pages) == (94, 4)
    assert outcome(ended(rounds, report(65, 30, multifd_bytes=9)))[0] is Outcome.MISSING


def test_pages_that_channels_have_counted_need_no_other_count() -> None:
    """The sums are QEMU's own already: that a round visited more does not change them."""
    migration = ended([sent(1, 101, 60, 40)], report(60, 40, multifd_bytes=9))
    assert outcome(migration) == (Outcome.EQUAL, True)
    assert migration.totals is not None
    assert (migration.totals.counted_pages, migration.totals.late_pages) == (100, None)


def test_where_deltas_are_not_seen_pages_of_channels_cannot_be_found_by_visits() -> None:
    unseen = {"xbzrle_pages": None, "unchanged_pages": None}
    migration = ended([sent(1, 100, 60, 30, **unseen)], report(60, 31, multifd_bytes=9))
    assert outcome(migration) == (Outcome.MISSING, False)
    assert migration.reasons == ["1 of the 91 pages that QEMU sent are in no round"]


def test_what_was_skipped_was_not_sent() -> None:
    """10 visited, 8 sent: QEMU's ninth page is missing, and is not the ninth that was visited."""
    migration = ended([sent(1, 10, 8, skipped_pages=2)], report(9))
    assert migration.reasons == ["1 of the 9 pages that QEMU sent are in no round"]


def test_without_multifd_the_same_rounds_are_wrong() -> None:
    migration = ended([*MULTIFD, sent(4, 5)], report(107, 38, multifd_bytes=0))
    assert outcome(migration) == (Outcome.EQUAL, False)
    assert migration.reasons == ["no channel counts the pages that round 1, 2, 3 lacks"]


@pytest.mark.parametrize(
    "wrong",
    [
        sent(1, 100, 101),
        sent(1, IN_CHANNELS + 1, 0),
        sent(1, 100, 98, first_pages=100, changed_pages=0, fake_pages=0),
        sent(1, 100, 98, dirty_pages=5, forced_pages=0, left_pages=0, hinted_pages=0),
    ],
    ids=["sent before it was visited", "more than channels hold", "the mode is on", "another law"],
)
def test_a_round_that_no_channel_explains_is_invalid(wrong: Round) -> None:
    migration = made()
    migration.apply(RoundEnded(START, wrong))
    assert not migration.rounds[0].valid


def by_qemus_word(rounds: list[Round], final: dict[str, Any], exact: bool) -> Migration:
    """A migration whose rounds QEMU itself calls exact, or not."""
    events: list[Event] = [*(RoundEnded(START, each, exact=exact) for each in rounds), StateChanged(START, "completed")]
    return tell(made(), [], [*events, FinalReport(START, final)])


@pytest.mark.parametrize("multifd_bytes", [9, 0], ids=["multifd", "RDMA"])
def test_rounds_that_qemu_calls_inexact_have_a_remark_and_are_judged_together(multifd_bytes: int) -> None:
    migration = by_qemus_word([*MULTIFD, sent(4, 5)], report(107, 38, multifd_bytes=multifd_bytes), exact=False)
    assert outcome(migration) == (Outcome.EQUAL, True)
    assert all("not exact by QEMU's own word" in each.remark for each in migration.rounds)
    assert "2 of its pages" in migration.rounds[0].remark
    assert all(conserved(each) is None for each in migration.rounds)
    wrong = by_qemus_word([*MULTIFD, sent(4, 5)], report(108, 38, multifd_bytes=multifd_bytes), exact=False)
    assert outcome(wrong) == (Outcome.MISSING, False)


def test_an_inexact_round_is_not_held_to_the_law_of_sending_with_the_mode_on_either() -> None:
    migration = made()
    migration.apply(RoundEnded(START, sent(1, 100, 98, first_pages=100, changed_pages=0, fake_pages=0), exact=False))
    migration.apply(RoundEnded(START, sent(2, 100, 98, first_pages=99, changed_pages=0, fake_pages=0), exact=False))
    assert [each.valid for each in migration.rounds] == [True, False], "of the classes the law holds"


@pytest.mark.parametrize("normal", [101, IN_CHANNELS], ids=["sent before it was visited", "more than channels hold"])
def test_an_inexact_round_is_not_beyond_all_bounds(normal: int) -> None:
    migration = made()
    migration.apply(RoundEnded(START, sent(1, 100, normal), exact=False))
    assert not migration.rounds[0].valid
    assert migration.rounds[0].remark


def test_a_round_that_qemu_calls_exact_is_held_to_every_law() -> None:
    migration = by_qemus_word(MULTIFD, report(102, 38, multifd_bytes=9), exact=True)
    assert [each.valid for each in migration.rounds] == [False, False, False]
    assert not any(each.remark for each in migration.rounds)
    assert all(each.valid for each in by_qemus_word(ROUNDS, report(90, 40), exact=True).rounds)


def test_on_the_destination_no_pages_are_counted() -> None:
    arrived = Migration("vm", Level.PATCHED, "m1", START, incoming=True)
    for event in (StateChanged(START, "completed"), Closed(START)):
        arrived.apply(event)
    assert (arrived.totals, arrived.valid) == (None, True)

"""The bounds of the reader of levels stock and usdt: one less, the bound itself, one more."""

from __future__ import annotations

import pytest
from fakedirty.model.enums import Kind
from fakedirty.model.events import Event, RoundEnded, StateChanged
from fakedirty.observe.decode import wire
from fakedirty.observe.decode.interfaces import SetUp
from fakedirty.observe.decode.stock import StockReader

STATES = ("none", "setup", "cancelling", "cancelled", "active", "completed", "failed")


def event(kind: int, time_ns: int, number: int = 0, **fields: int) -> wire.StockEvent:
    """An event of a round `number`, with counts and other fields."""
    made = wire.StockEvent()
    made.header.kind, made.header.time_ns, made.counts.round = kind, time_ns, number
    for name, value in fields.items():
        setattr(made.counts if hasattr(made.counts, name) else made, name, value)
    return made


def read(*events: wire.StockEvent, sample: int = 1) -> list[Event | SetUp]:
    reader = StockReader(STATES, sees_xbzrle=True, can_skip=False, sample=sample)
    return [found for each in events for found in reader.take(each)]


def rounds(*events: wire.StockEvent, sample: int = 1) -> list[RoundEnded]:
    return [each for each in read(*events, sample=sample) if isinstance(each, RoundEnded)]


STARTED = event(wire.EVENT_STOCK_STARTED, 1)


@pytest.mark.parametrize(("state", "name"), [(0, "none"), (6, "failed"), (7, "state-7"), (99, "state-99")])
def test_the_last_state_has_a_name_and_the_one_after_it_a_number(state: int, name: str) -> None:
    assert read(STARTED, event(wire.EVENT_STOCK_STATE, 2, state=state))[1] == StateChanged(2, name)


def test_pages_have_stopped_for_more_than_half_a_second() -> None:
    reader = StockReader(STATES, sees_xbzrle=True, can_skip=False)
    list(reader.take(STARTED))
    assert not reader.overdue(10**12)
    list(reader.take(event(wire.EVENT_STOCK_STOPPED, 1_000, 3, normal_pages=4)))
    assert not reader.overdue(500_001_000)
    assert reader.overdue(500_001_001)


@pytest.mark.parametrize(("number", "missed"), [(2, 0), (3, 1), (5, 3)])
def test_rounds_that_did_not_end_in_the_channels_of_multifd(number: int, missed: int) -> None:
    """After round 1 comes round 2: every one between is missed."""
    pages = {"normal_pages": 4, "first_pages": 4}
    first = event(wire.EVENT_STOCK_ROUND, 9, 1, **pages)
    found = rounds(STARTED, first, event(wire.EVENT_STOCK_ROUND, 30, number, end_ns=30, **pages))[1]
    assert found.flaw == (f"{missed} rounds before this one did not end in the channels of multifd" if missed else "")


def test_an_observer_that_came_in_round_three_has_missed_none() -> None:
    late = event(wire.EVENT_STOCK_STARTED, 1, 3, partial=1)
    found = rounds(late, *(event(wire.EVENT_STOCK_ROUND, 10 * number, number, end_ns=9) for number in (3, 4)))
    assert [each.flaw for each in found] == ["the observer came in the middle of this round", ""]
    assert [each.round.kind for each in found] == [Kind.ITERATIVE, Kind.ITERATIVE]


@pytest.mark.parametrize(("queued", "seen", "blind"), [(5, 5, False), (5, 4, True), (4, 5, True)])
def test_every_page_that_was_queued_is_in_a_packet(queued: int, seen: int, blind: bool) -> None:
    pages = {"normal_pages": 5, "first_pages": 5, "queued_pages": queued, "channel_pages": seen}
    [found] = rounds(STARTED, event(wire.EVENT_STOCK_ROUND, 9, 1, **pages))
    assert bool(found.flaw) is blind
    assert (found.round.visited_pages is None) is blind


@pytest.mark.parametrize(
    ("number", "pages", "blind"),
    [
        (1, {}, True),
        (1, {"normal_pages": 1, "first_pages": 1}, False),
        (1, {"zero_pages": 1, "first_pages": 1}, False),
        (2, {}, False),
    ],
    ids=["all RAM without a page", "one page", "one zero page", "a later round without a page"],
)
def test_all_ram_has_at_least_one_page(number: int, pages: dict[str, int], blind: bool) -> None:
    [found] = rounds(STARTED, event(wire.EVENT_STOCK_ROUND, 9, number, **pages))
    assert ("no page of all RAM" in found.flaw) is blind


def test_an_end_before_the_first_page_is_no_blind_round() -> None:
    [found] = rounds(STARTED, event(wire.EVENT_STOCK_STATE, 9, 1, state=STATES.index("failed")))
    assert (found.flaw, found.round.kind) == ("", Kind.BULK)


@pytest.mark.parametrize(("odd", "flaw"), [(0, ""), (1, "1 buffers were not one page of 4096 bytes")])
def test_one_buffer_of_another_size_makes_a_round_blind(odd: int, flaw: str) -> None:
    pages = {"normal_pages": 5, "first_pages": 5, "odd_buffers": odd}
    [found] = rounds(STARTED, event(wire.EVENT_STOCK_ROUND, 9, 1, **pages))
    assert found.flaw == flaw


@pytest.mark.parametrize(("sample", "fake", "sampled"), [(1, 2, None), (2, 50, 4)])
def test_one_of_two_pages_is_a_sample_and_one_of_one_is_none(sample: int, fake: int, sampled: int | None) -> None:
    """2 of 4 sampled pages are fake: 50 of 100."""
    pages = {"normal_pages": 100, "changed_pages": 2, "fake_pages": 2}
    [found] = rounds(STARTED, event(wire.EVENT_STOCK_ROUND, 9, 2, **pages), sample=sample)
    assert (found.round.fake_pages, found.round.sampled_pages) == (fake, sampled)


def test_times_are_from_the_start_of_the_migration() -> None:
    """It starts at 1 s, the round at 3 s, and ends at 7 s, which is when it was closed and not when it is reported."""
    start = event(wire.EVENT_STOCK_STARTED, 10**9)
    [found] = rounds(start, event(wire.EVENT_STOCK_ROUND, 8 * 10**9, 2, start_ns=3 * 10**9, end_ns=7 * 10**9))
    assert (found.round.start_seconds, found.round.duration_seconds, found.time_ns) == (2.0, 4.0, 7 * 10**9)
    [found] = rounds(start, event(wire.EVENT_STOCK_ROUND, 8 * 10**9, 2, start_ns=3 * 10**9))
    assert (found.round.duration_seconds, found.time_ns) == (5.0, 8 * 10**9)

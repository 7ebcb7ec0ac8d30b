"""Stalls, of rounds that are written down here: where they begin, and what ends them or begins them anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from fakedirty.format.progress import stall_words
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round
from fakedirty.model.stall import Burden, LiveStretch, Stretch
from hypothesis import given
from hypothesis import strategies as st


def found(*pages: int, first: int = 1) -> list[Round]:
    """Rounds of a second each that find so many dirty pages; the first of them is the bulk round."""
    kinds = [Kind.BULK if number == 1 else Kind.ITERATIVE for number in range(first, first + len(pages))]
    return [
        Round(first + index, kind, Mode.OBSERVE, "xxh3-64", float(index), 1.0, dirty_pages=dirty, visited_pages=dirty)
        for index, (kind, dirty) in enumerate(zip(kinds, pages, strict=True))
    ]


def latest_stretch(rounds: Sequence[Round], toggles: Sequence[int] = ()) -> Stretch | None:
    """Of rounds that end one after the other; a toggle comes before the end of the round whose number it has."""
    live, coming = LiveStretch(), sorted(toggles)
    for r in rounds:
        while coming and coming[0] <= r.round:
            live.toggle(coming.pop(0))
        live.take(r)
    for number in coming:
        live.toggle(number)
    return live.latest


def test_a_stall_has_the_number_of_its_first_round() -> None:
    rounds = found(131_072, 90_000, 80_000, 70_000, 65_000, 64_000, 66_000, 63_000)
    stretch = latest_stretch(rounds)
    # 63,000 is less than 95 % of 70,000 (66,500), and not of 65,000 (61,750); rounds 5, 6 and 7 left as much
    assert stretch == Stretch(5, 3, 65_000, Burden.FOUND)
    assert stretch.is_stall
    assert stall_words(stretch) == "Since round 5 each round leaves as much as round 5 found: 65,000 dirty pages."


def test_two_rounds_that_leave_as_much_are_no_stall_yet() -> None:
    stretch = latest_stretch(found(131_072, 90_000, 65_000, 65_000, 65_000))
    assert stretch == Stretch(3, 2, 65_000, Burden.FOUND)
    assert not stretch.is_stall
    assert stall_words(stretch) == ""


def test_a_growing_guest_stalls_too() -> None:
    assert latest_stretch(found(131_072, 10, 20, 40, 80)) == Stretch(2, 3, 10, Burden.FOUND)


def test_a_round_that_wins_something_begins_it_anew() -> None:
    rounds = found(131_072, 65_000, 65_000, 65_000, 65_000, 30_000)
    assert latest_stretch(rounds) == Stretch(6, 0, 30_000, Burden.FOUND)
    assert latest_stretch([*rounds, *found(30_000, 29_000, 31_000, first=7)]) == Stretch(6, 3, 30_000, Burden.FOUND)


@pytest.mark.parametrize(("last", "since"), [(950, 2), (949, 3)])
def test_less_by_five_in_a_hundred_is_no_gain(last: int, since: int) -> None:
    stretch = latest_stretch(found(5_000, 1_000, 990, 980, last))
    assert stretch is not None
    assert stretch.since_round == since


def test_nothing_is_known_before_two_rounds_can_be_compared() -> None:
    assert latest_stretch([]) is None
    assert latest_stretch(found(131_072)) is None, "a migration of one round"
    assert latest_stretch(found(131_072, 65_000)) is None
    assert latest_stretch(found(131_072, 65_000, 65_000)) == Stretch(2, 1, 65_000, Burden.FOUND)


def test_at_the_switchover_there_is_none() -> None:
    rounds = found(131_072, 65_000, 65_000, 65_000, 65_000, 65_000)
    assert latest_stretch([*rounds[:-1], replace(rounds[-1], kind=Kind.SWITCHOVER)]) is None


def test_a_toggle_begins_it_anew_after_its_round() -> None:
    rounds = found(131_072, *[65_000] * 9)
    assert latest_stretch(rounds, [0, 4]) == Stretch(5, 5, 65_000, Burden.FOUND)
    assert latest_stretch(rounds, [4, 10]) is None


def test_a_toggle_counts_at_once_and_never_for_an_earlier_round() -> None:
    live = LiveStretch()
    for r in found(131_072, *[65_000] * 4):
        live.take(r)
    assert live.latest == Stretch(2, 3, 65_000, Burden.FOUND)
    live.toggle(6)
    assert live.latest is None
    live.toggle(3)
    for r in found(*[65_000] * 3, first=6):
        live.take(r)
    assert live.latest == Stretch(7, 1, 65_000, Burden.FOUND)


def test_another_mode_begins_it_anew_where_the_toggle_was_not_seen() -> None:
    rounds = found(131_072, *[65_000] * 5)
    rounds[:4] = [replace(r, mode=Mode.OFF) for r in rounds[:4]]
    assert latest_stretch(rounds) == Stretch(5, 1, 65_000, Burden.FOUND)


def test_with_skip_on_what_is_sent_counts() -> None:
    """All pages are dirty again each time, while fewer and fewer of them have changed: something is won."""
    skipped = (0, 10_000, 20_000, 30_000, 40_000)
    rounds = [
        replace(r, mode=Mode.SKIP, skipped_pages=pages)
        for r, pages in zip(found(131_072, *[65_000] * 4), skipped, strict=True)
    ]
    assert latest_stretch(rounds) == Stretch(5, 0, 25_000, Burden.SENT)
    rounds += [replace(r, mode=Mode.SKIP, skipped_pages=40_000) for r in found(*[65_000] * 3, first=6)]
    stretch = latest_stretch(rounds)
    assert stretch == Stretch(5, 3, 25_000, Burden.SENT)
    assert stall_words(stretch) == "Since round 5 each round sends as much as round 5 did: 25,000 pages."
    assert latest_stretch([replace(r, skipped_pages=None) for r in rounds]) is None


def test_levels_that_see_no_dirty_pages() -> None:
    rounds = found(131_072, *[65_000] * 4)
    stock = [replace(r, dirty_pages=None, mode=None) for r in rounds]
    assert latest_stretch(stock) == Stretch(2, 3, 65_000, Burden.SENT)
    polled = [replace(r, visited_pages=None, normal_pages=64_000, zero_pages=1_000) for r in stock]
    assert latest_stretch(polled) == Stretch(2, 3, 65_000, Burden.SENT)
    with_xbzrle = [replace(r, xbzrle_pages=500) for r in polled]
    assert latest_stretch(with_xbzrle) == Stretch(2, 3, 65_500, Burden.SENT)
    assert latest_stretch([replace(r, zero_pages=None) for r in polled]) is None


def test_rounds_of_zero_length_show_nothing() -> None:
    rounds = found(131_072, 65_000, 65_000, 1, 65_000, 65_000)
    rounds[3] = replace(rounds[3], duration_seconds=0.0)
    assert latest_stretch(rounds) == Stretch(2, 3, 65_000, Burden.FOUND)


def test_pages_that_a_forced_sync_adds_are_not_what_a_round_found() -> None:
    rounds = found(131_072, *[65_000] * 4)
    rounds[2] = replace(rounds[2], forced_pages=40_000, visited_pages=105_000, forced_syncs=1)
    assert latest_stretch(rounds) == Stretch(2, 3, 65_000, Burden.FOUND)


@pytest.mark.parametrize("hole", ["invalid", "missing", "empty"])
def test_what_is_not_known_begins_it_anew(hole: str) -> None:
    rounds = found(131_072, *[65_000] * 5)
    match hole:
        case "invalid":
            rounds[2] = replace(rounds[2], invalid_reason="3 events lost")
        case "missing":
            del rounds[2]
        case _:
            rounds[2] = replace(rounds[2], dirty_pages=0)
    assert latest_stretch(rounds) == Stretch(4, 2, 65_000, Burden.FOUND)


def test_a_long_stall_keeps_no_more_rounds_than_can_begin_it() -> None:
    live = LiveStretch()
    for r in found(131_072, *[65_000 + number % 7 for number in range(10_000)]):
        live.take(r)
    assert live.latest == Stretch(2, 9_999, 65_000, Burden.FOUND)
    assert len(live._firsts) == 1


@given(st.lists(st.integers(1, 1_000), min_size=2, max_size=30))
def test_no_later_round_has_less_than_the_first_and_none_before_could_be_it(pages: list[int]) -> None:
    stretch = latest_stretch(found(5_000, *pages))
    assert stretch is not None
    first = stretch.since_round - 2
    assert stretch.rounds == len(pages) - 1 - first
    assert all(later >= 0.95 * pages[first] for later in pages[first + 1 :])
    assert all(min(pages[earlier + 1 :]) < 0.95 * pages[earlier] for earlier in range(first))


def test_one_that_is_joined_late_is_counted_from_there() -> None:
    rounds = found(*[65_000] * 3, first=5)
    assert latest_stretch(rounds[:1]) is None
    assert latest_stretch(rounds) == Stretch(5, 2, 65_000, Burden.FOUND)

"""Estimates from rounds, with numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.forecast import Estimate
from fakedirty.model.round import Round
from fakedirty.model.round_estimates import (
    HASH_SECONDS,
    MOST_CHANNELS,
    RECENT_ROUNDS,
    changed_ratio,
    link_of,
    page_hashing,
    unchanged_ratio,
)
from fakedirty.model.working_set import dirtying_points, fitted, most_dirty
from hypothesis import given
from hypothesis import strategies as st


def compared(changed: int, fake: int) -> Round:
    return Round(2, Kind.ITERATIVE, Mode.OBSERVE, "xxh3-64", 0.0, 1.0, changed_pages=changed, fake_pages=fake)


def test_two_rounds_that_passed_the_working_set_once() -> None:
    """A working set of 100 pages: the last two rounds compared 50 each, 40 and 10 of them changed."""
    assert changed_ratio([compared(10, 40), compared(40, 10)], 100) == Estimate(0.5, 0.5, 0.5)


def test_all_whole_passes_count() -> None:
    """Two passes of 100 pages, the latest first: 50 and 20 changed. What is left of a third one does not count."""
    rounds = [compared(30, 0), compared(0, 60), compared(20, 20), compared(10, 40), compared(40, 10)]
    assert changed_ratio(rounds, 100) == Estimate(0.2, 0.35, 0.5)


def test_a_round_in_which_a_pass_ends_counts_in_part() -> None:
    """60 of 100 pages with 6 changed; then 40 of the 80 before, of which 60 changed: 20 to 40 of them, or 30."""
    assert changed_ratio([compared(60, 20), compared(6, 54)], 100) == Estimate(0.26, 0.36, 0.46)
    # 40 of 80 with 20 changed: none, all 20, or 10 of them
    assert changed_ratio([compared(20, 60), compared(6, 54)], 100) == Estimate(0.06, 0.16, 0.26)


def test_the_rest_of_that_round_is_of_the_pass_before() -> None:
    """Rounds of 150, 100 and 50 pages: 50; 50 of 100; then 50 of it and 50 of 150; then 100 of that: four passes."""
    rounds = [compared(150, 0), compared(0, 100), compared(0, 50)]
    # 0 of 50 and 0 of 50; 0 of 50 and 50 of 50; 100 of 100
    assert changed_ratio(rounds, 100) == Estimate(0.0, 0.5, 1.0)


def test_a_long_round_has_several_passes() -> None:
    """300 pages with 30 changed: in three passes of 100 each, 10 are expected; all 30 may be in one."""
    assert changed_ratio([compared(30, 270)], 100) == Estimate(0.0, 0.1, 0.3)


def test_pages_that_were_not_compared_may_be_of_either_kind() -> None:
    """40 of 50 changed, and 50 more may: from 40 to 90 of 100."""
    assert changed_ratio([compared(40, 10)], 100) == Estimate(0.4, 0.8, 0.9)
    lacks_one = changed_ratio([compared(40, 59)], 100)
    assert (lacks_one.expected, lacks_one.high) == (pytest.approx(40 / 99), pytest.approx(0.41))
    assert changed_ratio([compared(40, 10), compared(0, 25)], 100) == Estimate(0.4, pytest.approx(40 / 75), 0.65)


@given(
    working_set=st.integers(50, 5_000),
    changed=st.floats(0, 1),
    lengths=st.lists(st.integers(1, 4_000), min_size=1, max_size=8),
    begins=st.integers(0, 5_000),
)
def test_rounds_that_go_on_where_the_last_one_stopped_hold_the_share(
    working_set: int, changed: float, lengths: list[int], begins: int
) -> None:
    """The first pages of a working set change between two visits, the others do not; rounds pass it in turn."""
    pages = round(changed * working_set)
    at, rounds = begins % working_set, []
    for length in lengths:
        visited = [(at + step) % working_set for step in range(length)]
        rounds.append(compared(sum(page < pages for page in visited), sum(page >= pages for page in visited)))
        at = (at + length) % working_set
    found = changed_ratio(rounds, working_set)
    assert found.high is not None
    assert found.low - 1e-9 <= pages / working_set <= found.high + 1e-9
    assert found.low - 1e-9 <= found.expected <= found.high + 1e-9
    if sum(lengths) % working_set == 0 and len(lengths) == 1:
        assert found.expected == pytest.approx(pages / working_set)


def sent(seconds: float, pages: int, size: int | None, **fields: object) -> Round:
    """A round that sent so many pages of `size` bytes."""
    found = Round(2, Kind.ITERATIVE, Mode.OBSERVE, "xxh3-64", 0.0, seconds, visited_pages=pages, normal_pages=pages)
    return replace(found, transferred_bytes=None if size is None else pages * size, **fields)  # type: ignore[arg-type]


def test_the_link_by_rounds_that_were_long_enough() -> None:
    """40, 50 and 80 MB/s; 39 MB/s are less than half of the fastest, and did not fill the link."""
    rounds = [sent(1.0, 10_000, size) for size in (3_900, 4_000, 5_000, 8_000)]
    link = link_of(rounds)
    assert link is not None
    assert (link.slowest, link.rate, link.fastest) == (50e6, 65e6, 80e6)
    assert link.page_bytes == (3_900 + 4_000 + 5_000 + 8_000) / 4
    assert link.weighed
    assert link_of([sent(0.05, 100, 4_000)]) is not None
    assert link_of([sent(0.0499, 100, 4_000)]) is None


def test_rounds_that_sent_nothing_do_not_show_the_link() -> None:
    assert link_of([sent(1.0, 100, 4_000, skipped_pages=100)]) is None
    assert link_of([sent(1.0, 100, 0)]) is None
    assert link_of([]) is None


def test_pages_skipped_are_not_sent() -> None:
    """1,000 pages visited, 750 skipped, 1 MB sent: 4,000 bytes a page."""
    link = link_of([sent(1.0, 1_000, 1_000, skipped_pages=750)])
    assert link is not None
    assert link.page_bytes == 4_000


def test_the_bulk_round_shows_the_rate_and_not_the_size_of_pages() -> None:
    bulk, later = sent(1.0, 10_000, 2_000, kind=Kind.BULK), sent(1.0, 10_000, 3_000)
    link = link_of([bulk, later])
    assert link is not None
    assert (link.page_bytes, link.slowest) == (3_000, 20e6)
    alone = link_of([bulk])
    assert alone is not None
    assert alone.page_bytes == 2_000


def test_the_rate_is_that_of_the_latest_rounds() -> None:
    rounds = [sent(1.0, 10_000, 6_000), *[sent(1.0, 10_000, 8_000)] * RECENT_ROUNDS]
    link = link_of(rounds)
    assert link is not None
    assert link.slowest == 80e6
    older = link_of(rounds[:-1])
    assert older is not None
    assert older.slowest == 60e6


def test_bytes_that_are_not_seen_are_those_of_whole_pages() -> None:
    """4,096 bytes and 8 of a header, for each normal page."""
    link = link_of([sent(2.0, 1_000, None)])
    assert link is not None
    assert (link.rate, link.page_bytes, link.weighed) == (4_104 * 500, 4_104, False)
    mixed = link_of([sent(1.0, 1_000, None), sent(1.0, 1_000, 4_000)])
    assert mixed is not None
    assert not mixed.weighed


def test_the_time_of_a_hash() -> None:
    """3 ms for 1,000 pages and 1 ms for 3,000: 1 us a page, as a sum over the channels."""
    rounds = [sent(1.0, 1_000, 1, hash_seconds=3e-3), sent(1.0, 3_000, 1, hash_seconds=1e-3), sent(1.0, 9, 1)]
    rounds.append(sent(1.0, 0, 1, hash_seconds=9.0))  # no page, so no time of a page
    microsecond = pytest.approx(1e-6)
    assert page_hashing(rounds, 1) == Estimate(microsecond, microsecond, microsecond)
    assert page_hashing(rounds, 4) == Estimate(pytest.approx(0.25e-6), pytest.approx(0.25e-6), microsecond)
    assert page_hashing(rounds, None) == Estimate(pytest.approx(1e-6 / MOST_CHANNELS), microsecond, microsecond)
    assert page_hashing(rounds[2:], 1) == Estimate(HASH_SECONDS, HASH_SECONDS, HASH_SECONDS)


def test_the_share_of_unchanged_bytes() -> None:
    """A round sent 200 pages in 800 KB, 50 of them fake: 200 KB. Another sent 100 in 400 KB and saved 600 KB.

    Of 1,800 KB that were sent or saved, 800 are unchanged.
    """
    rounds = [
        sent(1.0, 200, 4_000, fake_pages=50),
        sent(1.0, 250, 1_600, fake_pages=150, skipped_pages=150, saved_bytes=600_000),
    ]
    assert unchanged_ratio(rounds) == pytest.approx(800 / 1_800)
    assert unchanged_ratio([]) == 0.0
    assert unchanged_ratio([sent(1.0, 9, 0, skipped_pages=9, saved_bytes=5)]) == 1.0


def lasting(number: int, seconds: float, dirty: int, left: int = 0) -> Round:
    return Round(
        *(number, Kind.ITERATIVE, Mode.OBSERVE, "xxh3-64", 0.0, seconds),
        dirty_pages=dirty,
        visited_pages=dirty - left,
        left_pages=left,
    )


def test_pages_that_were_written_in_each_round() -> None:
    """Round 1 left nothing, and 100 pages are dirty after it; round 2 left 20 of these, and 60 are dirty after it.

    40 of the other 80 were written, which is a half: so were 10 of those that were left.
    """
    rounds = [lasting(1, 2.0, 500), lasting(2, 1.0, 100, left=20), lasting(3, 0.5, 60)]
    assert dirtying_points(rounds) == [(2.0, 100), (1.0, 50)]


def test_pages_dirtied_cannot_be_more_than_the_working_set_or_fewer_than_none() -> None:
    all_left = [lasting(1, 2.0, 500), lasting(2, 1.0, 100, left=100), lasting(3, 0.5, 90)]
    assert dirtying_points(all_left) == [(2.0, 100), (1.0, 90)]
    fewer = [lasting(1, 2.0, 500), lasting(2, 1.0, 100, left=50), lasting(3, 0.5, 40)]
    assert dirtying_points(fewer) == [(2.0, 100), (1.0, 0)]
    full = [lasting(1, 2.0, 500), lasting(2, 1.0, 100, left=50), lasting(3, 0.5, 100)]
    assert dirtying_points(full) == [(2.0, 100), (1.0, 100)]


def test_the_bulk_round_leaves_pages_of_all_memory() -> None:
    """It left 100 of 1,000 pages, and 190 are dirty after it: of the other 900 a tenth was written, and so of those."""
    bulk = replace(lasting(1, 2.0, 1_000, left=100), kind=Kind.BULK)
    assert dirtying_points([bulk, lasting(2, 1.0, 190)]) == [(2.0, 100)]
    assert most_dirty([bulk, lasting(2, 1.0, 190)]) == 190, "at worst all that it left are pages of the working set"
    unseen = [replace(bulk, left_pages=None), lasting(2, 1.0, 190)]
    assert dirtying_points(unseen) == [(2.0, 190)]


@pytest.mark.parametrize(("later", "bulk_pages"), [(120, 120), (80, 90), (500, 190)])
def test_later_rounds_show_how_many_of_those_it_left_were_written(later: int, bulk_pages: int) -> None:
    """From 90 to 190 pages are possible: all that it left may have been written, or none."""
    bulk = replace(lasting(1, 2.0, 1_000, left=100), kind=Kind.BULK)
    assert dirtying_points([bulk, lasting(2, 1.0, 190), lasting(3, 0.5, later)]) == [(2.0, bulk_pages), (1.0, later)]


def test_nothing_is_dirty_where_no_round_shows_it() -> None:
    assert most_dirty([]) == 0
    assert most_dirty([lasting(1, 2.0, 500)]) == 0


def test_rounds_that_do_not_follow_each_other_show_nothing() -> None:
    assert dirtying_points([lasting(1, 2.0, 500), lasting(3, 1.0, 100)]) == []
    assert dirtying_points([lasting(1, 0.0, 500), lasting(2, 1.0, 100)]) == []
    assert dirtying_points([lasting(1, 2.0, 500)]) == []


def test_the_latest_eight_rounds_show_it() -> None:
    rounds = [lasting(number, float(number), 1_000 - number) for number in range(1, 12)]
    assert [seconds for seconds, _ in dirtying_points(rounds)] == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]


def test_a_curve_needs_rounds_of_different_lengths() -> None:
    """1.5 times as long is enough."""
    assert fitted([(1.0, 500), (1.49, 600)])(0.001) == 600
    assert fitted([(1.0, 500), (1.5, 600)])(0.001) < 100

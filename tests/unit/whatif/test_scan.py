"""The pages that the scan passed, in rounds made by hand: ten pages in two RAM blocks, of seven and three."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round
from fakedirty.whatif.guest_pages import estimate_pages
from fakedirty.whatif.page_history import PageHistory, RoundVisits
from fakedirty.whatif.scan import passes

PAGES = 10


def visits(
    number: int, at: Sequence[int], left: int | None, kind: Kind = Kind.ITERATIVE, flaw: str = ""
) -> RoundVisits:
    """A round of a second; none of the pages has changed."""
    count = len(at)
    no = np.zeros(count, bool)
    counts = Round(number, kind, Mode.OBSERVE, None, number - 1.0, 1.0, left_pages=left, visited_pages=count)
    return RoundVisits(counts, flaw, np.array(at, np.int64), np.full(count, number - 0.5), no | (number == 1), no, no)


def history(*rounds: RoundVisits) -> PageHistory:
    return PageHistory(PAGES, 1.0, np.array([7, 10]), [visits(1, range(10), 0, Kind.BULK), *rounds])


def passed(*rounds: RoundVisits) -> list[list[int] | None]:
    return [None if each.passed is None else each.passed.tolist() for each in passes(history(*rounds))]


def test_a_round_that_leaves_nothing_passes_all_pages() -> None:
    assert passed(visits(2, [1, 4], 0)) == [[*range(10)]]


def test_a_round_that_leaves_pages_passes_those_up_to_its_last() -> None:
    """Round 2 ends at page 4. Round 3 goes on there, and comes round to page 1."""
    assert passed(visits(2, [1, 4], 2), visits(3, [6, 8, 1], 1)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 0, 1]]


def test_behind_a_block_that_was_searched_to_its_end_the_next_one_begins() -> None:
    """Round 2 leaves nothing, and its last page is in the first block. Round 3 begins with the second block."""
    assert passed(visits(2, [1, 4], 0), visits(3, [8, 2], 3)) == [[*range(10)], [7, 8, 9, 0, 1, 2]]


def test_where_it_is_not_seen_what_is_left_the_next_round_shows_it() -> None:
    """After page 4, page 5 comes next if the round was ended there; page 8, and then 1 and 5, if nothing was left."""
    assert passed(visits(2, [1, 4], None), visits(3, [5, 8, 1], 0))[0] == [0, 1, 2, 3, 4]
    assert passed(visits(2, [1, 4], None), visits(3, [8, 1, 5], 0))[0] == [*range(10)]


def test_a_switchover_passes_all_pages_and_a_round_without_visits_none() -> None:
    assert passed(visits(2, [], 3), visits(3, [1, 2, 3], None, Kind.SWITCHOVER)) == [[], [*range(10)]]
    assert passed(visits(2, [], 0)) == [[*range(10)]]


def test_of_a_round_with_a_flaw_it_is_not_known() -> None:
    lost, whole = passed(visits(2, [1], None, flaw="lost"), visits(3, [1, 2], 0))
    assert lost is None
    assert sorted(whole or []) == [*range(10)]


@pytest.mark.parametrize("left", [0, 7])
def test_what_was_not_passed_was_not_seen(left: int) -> None:
    """Page 1 was written, page 0 was not. The others were not written either, or may be like one of those two."""
    found = estimate_pages(history(visits(2, [1], left)))
    assert (found.intervals, found.always_written, found.never_written) == (1, 1, 9)
    means = found.dirtied(1.0, "expected")
    assert means[1] > 0.9
    assert means[0] < 0.1
    if left:
        assert means[2:] == pytest.approx(np.full(8, 0.5), abs=0.1)
    else:
        assert means[2:].max() < 0.1

"""A migration played page by page, with numbers worked out by hand: a page takes 1 ms, and counts as 1 ms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakedirty.model.forecast import Estimate
from fakedirty.whatif.guest_pages import GuestPages
from fakedirty.whatif.page_costs import PageCosts
from fakedirty.whatif.page_simulation import Played, play
from fakedirty.whatif.rate_mixture import RateMixture
from fakedirty.whatif.variants import Variant
from fakedirty.whatif.xbzrle_cache import cache_owners

PAGES = 1000
NEVER, ALWAYS = 0, 1


def exactly(value: float) -> Estimate:
    return Estimate(value, value, value)


COSTS = PageCosts(exactly(1e6), 1000.0, True, exactly(100.0), True, 0.0, exactly(0.0), 1000.0)


def mixture(written: slice) -> RateMixture:
    """Pages that are written all the time; the others never are."""
    classes = np.full(PAGES, NEVER)
    classes[written] = ALWAYS
    return RateMixture(np.array([0.0, np.inf]), np.eye(2), classes)


def guest(written: slice, changed: slice = slice(0, 0), zero: float = 0.0, weight: float = 1.0) -> GuestPages:
    zeros = np.full(PAGES, zero)
    return GuestPages(
        PAGES, weight, np.array([PAGES]), mixture(written), mixture(changed), zeros, zeros, intervals=1,
        never_written=0, always_written=0,
    )  # fmt: skip


def played(found: Played | None) -> tuple[float, float, float, int]:
    assert found is not None
    return found.total_seconds, found.downtime_seconds, found.sent_bytes, found.rounds


def test_what_the_bulk_round_leaves_is_sent_with_the_guest_stopped() -> None:
    """A limit of 0.2 s: at 0.8 s QEMU looks, and 200 pages are left. The last 100 are among those."""
    found = play(guest(slice(900, 1000)), COSTS, Variant(0.2), "expected")
    assert played(found) == (pytest.approx(1.0), pytest.approx(0.2), pytest.approx(1e6), 2)


def test_a_round_goes_on_where_the_one_before_ended() -> None:
    """The first 100 pages are written: 300 are dirty after 0.8 s. 100 of the 200 left are sent in 0.1 s; 200 fit."""
    found = play(guest(slice(0, 100)), COSTS, Variant(0.2), "expected")
    assert played(found) == (pytest.approx(1.1), pytest.approx(0.2), pytest.approx(1.1e6), 3)


def test_qemu_looks_every_50_ms() -> None:
    """A limit of 0.21 s: 210 pages fit after 0.79 s, QEMU looks at 0.8 s: 200 are left, and 5 are written: 0.205 s."""
    found = play(guest(slice(0, 5)), COSTS, Variant(0.21), "expected")
    assert played(found) == (pytest.approx(1.005), pytest.approx(0.205), pytest.approx(1.005e6), 2)


def test_a_guest_that_writes_more_than_fits_has_no_end() -> None:
    assert play(guest(slice(0, 100)), COSTS, Variant(0.01), "expected") is None


def test_skipped_pages_cost_nothing() -> None:
    """With a limit of 10 ms the bulk round is sent whole. 100 pages are written: none of them changes, or 5 do."""
    skip = Variant(0.01, (True,))
    assert played(play(guest(slice(0, 100)), COSTS, skip, "expected")) == (
        pytest.approx(1.0),
        0.0,
        pytest.approx(1e6),
        2,
    )
    fives = guest(slice(0, 100), slice(0, 5))
    found = play(fives, COSTS, Variant(0.02, (True,)), "expected")
    assert played(found) == (pytest.approx(1.005), pytest.approx(0.005), pytest.approx(1.005e6), 2)
    # QEMU counts the upper end of Wilson's interval of 5 in 100, by three standard deviations: 16.1 pages
    assert play(fives, COSTS, Variant(0.015, (True,)), "expected") is None


def test_a_page_that_was_never_sent_is_not_skipped() -> None:
    """200 pages are left after 0.8 s and are sent, though no page changes."""
    found = play(guest(slice(0, 0)), COSTS, Variant(0.2, (True,)), "expected")
    assert played(found)[2] == pytest.approx(1e6)


def test_skip_that_comes_after_a_round_does_not_know_yet_what_it_skips() -> None:
    """All 100 are counted after round 1. Round 2 skips them in no time, and then QEMU knows."""
    found = play(guest(slice(0, 100)), COSTS, Variant(0.01, (False, True)), "expected")
    assert played(found) == (pytest.approx(1.0), 0.0, pytest.approx(1e6), 3)


def test_bandwidth_limit_and_throttle_are_those_of_the_variant() -> None:
    """At half the bandwidth a page takes 2 ms: 2 s in all, in looks of 50 ms."""
    found = play(guest(slice(0, 0)), COSTS, Variant(0.2, bandwidth=5e5), "expected")
    assert played(found) == (pytest.approx(2.0), pytest.approx(0.2), pytest.approx(1e6), 2)


def test_another_bandwidth_varies_as_that_of_the_recorded_link() -> None:
    """The recorded link carried 0.8 to 1.25 times its median: at half the bandwidth it takes 1.6 to 2.5 s in all."""
    costs = replace(COSTS, rate=Estimate(8e5, 1e6, 1.25e6))
    ends = [
        play(guest(slice(0, 0)), costs, Variant(0.2, bandwidth=5e5), bound) for bound in ("low", "expected", "high")
    ]
    assert [played(each)[0] for each in ends] == [pytest.approx(seconds) for seconds in (1.6, 2.0, 2.5)]


def test_a_throttled_guest_writes_less() -> None:
    """Half of the pages are written in 10 s. The bulk round takes 1 s: 1 - 2^-0.1 of them are dirty, 67 pages.

    At half speed it is 1 - 2^-0.05, 34 pages, which fit a limit of 40 ms.
    """
    of = guest(slice(0, 0))
    slow = RateMixture(np.array([np.log(2) / 10]), np.ones((1, 1)), np.zeros(PAGES, int))
    written = GuestPages(PAGES, 1.0, of.block_ends, slow, of.changes, of.zero_first, of.zero_again, 1, 0, 0)
    throttled = played(play(written, COSTS, Variant(0.04, throttle=0.5), "expected"))
    rest = 1 - 2**-0.05
    assert throttled == (pytest.approx(1 + rest), pytest.approx(rest), pytest.approx(1e6 * (1 + rest)), 2)
    assert played(play(written, COSTS, Variant(0.04), "expected"))[3] == 3


def test_zero_pages_are_headers_and_count_whole() -> None:
    """1,000 zero pages of 9 bytes: 9 ms; but QEMU counts them as 1 s, and waits until 200 ms are left."""
    found = play(guest(slice(0, 0), zero=1.0), COSTS, Variant(0.2), "expected")
    assert played(found) == (pytest.approx(0.009), pytest.approx(0.0), pytest.approx(9000), 2)


def test_a_page_of_a_sample_stands_for_others() -> None:
    found = play(guest(slice(900, 1000), weight=10.0), COSTS, Variant(2.0), "expected")
    assert played(found) == (pytest.approx(10.0), pytest.approx(2.0), pytest.approx(1e7), 2)


def test_xbzrle_sends_deltas_of_what_it_has_and_nothing_of_what_is_unchanged() -> None:
    """100 written pages, 50 changed; a limit of 60 ms. After the bulk round all 100 are sent whole in 0.1 s.

    Then they are in the cache, and 50 deltas take 5 ms; but QEMU counts 100 ms, so there is no end. With a limit of
    0.1 s there was one before.
    """
    of = guest(slice(0, 100), slice(0, 50))
    assert play(of, COSTS, Variant(0.06, xbzrle_cache=1 << 20), "expected") is None
    found = play(of, COSTS, Variant(0.1, xbzrle_cache=1 << 20), "expected")
    assert found is not None


def test_a_place_of_the_cache_belongs_to_the_page_that_is_written_most() -> None:
    """Four places: page 0, 4, 8, … contend for the first. Of them, pages from 8 on are written."""
    owners = cache_owners(guest(slice(8, 12)), 4000, 1000.0)
    assert np.flatnonzero(owners).tolist() == [8, 9, 10, 11]

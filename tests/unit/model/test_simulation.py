"""The simulation of a migration, with numbers worked out by hand: a page takes 1 ms to send, and counts as 1 ms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakedirty.model.round import Round
from fakedirty.model.simulation import MOST_ROUNDS, End, Scenario, least, least_limit, simulate
from made_scenarios import LAST, SKIPPING, always, rate, scenario


def ends(found: End | None) -> tuple[float, float]:
    assert found is not None
    return found.total_seconds, found.downtime_seconds


def test_seconds_of_a_page() -> None:
    """Changed pages are a quarter; hashing takes 0.1 ms; QEMU counts 2 ms."""
    found = scenario(always(1), changed=0.25, hashing=1e-4, counting=2e-3)
    assert (found.seconds(skip=False), found.seconds(skip=True)) == (1e-3, pytest.approx(0.35e-3))
    assert (found.counted(skip=False), found.counted(skip=True)) == (2e-3, pytest.approx(0.6e-3))


def test_what_fits_the_limit_ends_and_what_does_not_goes_on() -> None:
    """1,000 pages are 1 s: with a limit of 1 s the guest is stopped for it, with a little less there is no end."""
    guest = scenario(always(1000))
    assert ends(simulate(guest, LAST, 5.0, 1.0, skip=False)) == (6.0, 1.0)
    assert simulate(guest, LAST, 5.0, 0.999, skip=False) is None


def test_rounds_that_get_shorter() -> None:
    """500 pages a second: 1000, 500, 250, 125, 62.5 and 31.25 pages, of which the last fit 50 ms.

    In the last 50 ms of a round QEMU would look again: it leaves nothing.
    """
    found = simulate(scenario(rate(500)), LAST, 3.0, 0.05, skip=False)
    assert ends(found) == (pytest.approx(3.0 + 1.96875), pytest.approx(0.03125))


def test_pages_that_a_round_leaves() -> None:
    """A limit of 0.5 s: a round leaves 450 pages, which take 0.45 s. A working set of 1,000 pages, 1,000 a second.

    1,000 pages: 0.55 s of sending, in which 550 are dirtied; of the 450 that are left 55 % are among them:
    450 + 550 - 247.5 = 752.5. Then 0.3025 s, and 450 + 302.5 - 136.125 = 616.375. Then 0.166375 s, and 541.50625;
    0.09150625 s, and 500.3284375; 0.0503284375 s, and 477.68, which fit.
    """
    total = 0.55 + 0.3025 + 0.166375 + 0.09150625 + 0.0503284375 + 0.477680640625
    found = simulate(scenario(rate(1000, 1000)), LAST, 0.0, 0.5, skip=False)
    assert ends(found) == (pytest.approx(total, abs=1e-6), pytest.approx(0.477680640625, abs=1e-6))


def test_skip_that_is_on_sends_what_has_changed() -> None:
    """1,000 pages, a quarter changed, 0.1 ms of hashing each: 350 ms."""
    guest = scenario(always(1000), changed=0.25, hashing=1e-4)
    assert ends(simulate(guest, SKIPPING, 1.0, 0.36, skip=True)) == (pytest.approx(1.35), pytest.approx(0.35))
    assert simulate(guest, SKIPPING, 1.0, 0.34, skip=True) is None


def test_skip_that_is_turned_on_takes_one_round_to_know_what_it_skips() -> None:
    """QEMU counts 1,000 pages as 1 s in the first round: 350 ms, and 350 ms for those that are dirty then."""
    guest = scenario(always(1000), changed=0.25, hashing=1e-4)
    assert ends(simulate(guest, LAST, 1.0, 0.36, skip=True)) == (pytest.approx(1.70), pytest.approx(0.35))
    # where all pages fit the limit there is nothing to wait for
    assert ends(simulate(guest, LAST, 1.0, 1.0, skip=True)) == (pytest.approx(1.35), pytest.approx(0.35))
    # without skip the mode of the last round does not matter
    assert ends(simulate(guest, LAST, 1.0, 1.0, skip=False)) == (2.0, 1.0)


def test_qemu_counts_whole_pages_and_sends_compressed_ones() -> None:
    """1,000 pages are 1 s on the link, and 3 s by QEMU's count: that is what the limit is compared with."""
    guest = scenario(always(1000), counting=3e-3)
    assert ends(simulate(guest, LAST, 0.0, 3.0, skip=False)) == (1.0, 1.0)
    assert simulate(guest, LAST, 0.0, 2.9, skip=False) is None


def test_pages_that_the_last_round_left_are_dirty_however_short_it_was() -> None:
    """300 pages are left, and the guest dirties 1,000 a second: after 0.4 s these are more."""
    for seconds, dirty in ((0.0, 0.3), (0.2, 0.3), (0.4, 0.4)):
        last = replace(LAST, duration_seconds=seconds, left_pages=300)
        found = simulate(scenario(rate(1000)), last, 1.0, 0.5, skip=False)
        assert ends(found) == (pytest.approx(1.0 + dirty), pytest.approx(dirty))


@pytest.mark.parametrize("counting", [1e-3, 1.0])
def test_with_a_limit_of_0_it_ends_where_no_page_is_dirty(counting: float) -> None:
    """100 pages a second: 200, 20, 2 and 0.2 pages, which are none, whatever QEMU counts for a page."""
    guest = scenario(rate(100), counting=counting)
    assert ends(simulate(guest, LAST, 3.0, 0.0, skip=False)) == (pytest.approx(3.2222), pytest.approx(0.0002))
    assert simulate(scenario(always(1)), LAST, 3.0, 0.0, skip=False) is None


@pytest.mark.parametrize(("share", "converges"), [(0.98, True), (0.995, False)])
def test_three_rounds_without_progress_are_no_way_to_an_end(share: float, converges: bool) -> None:
    """Each round has 98 % of the pages of the one before, or 99.5 %."""
    found = simulate(scenario(rate(1000 * share)), LAST, 0.0, 0.05, skip=False)
    assert (found is not None) is converges


def test_two_rounds_without_progress_are_no_reason_to_stop() -> None:
    """1000 pages dirtied three times, then 40: the third standstill never comes."""
    left = [1000.0, 1000.0, 1000.0, 40.0]

    def dirtying(seconds: float) -> float:
        return math.inf if seconds == math.inf else left.pop(0)

    assert ends(simulate(scenario(dirtying), LAST, 0.0, 0.05, skip=False)) == (pytest.approx(3.04), pytest.approx(0.04))
    left = [1000.0, 1000.0, 1000.0, 1000.0, 40.0]
    assert simulate(scenario(dirtying), LAST, 0.0, 0.05, skip=False) is None


def test_there_is_an_end_to_a_simulation() -> None:
    """Two rounds without progress, then one with: again and again."""
    sizes = iter(range(10**9))

    def dirtying(seconds: float) -> float:
        return math.inf if seconds == math.inf else 1e6 - 2e4 * (next(sizes) % 3 == 0)

    assert simulate(scenario(dirtying), LAST, 0.0, 0.05, skip=False) is None
    assert next(sizes) == MOST_ROUNDS + 1


def test_a_worst_case_without_any_end() -> None:
    assert simulate(None, LAST, 0.0, 9.0, skip=False) is None
    assert least_limit(None, LAST, skip=False) is None


@pytest.mark.parametrize(
    ("guest", "last", "skip", "expected"),
    [
        (scenario(always(1000)), LAST, False, 1.0),
        (scenario(always(1000), changed=0.25), SKIPPING, True, 0.25),
        (scenario(always(1000), counting=3e-3), LAST, False, 3.0),
        (scenario(always(0)), LAST, False, 0.0),
    ],
    ids=["all pages", "the changed ones", "as QEMU counts", "any limit"],
)
def test_the_least_limit(guest: Scenario, last: Round, skip: bool, expected: float) -> None:
    """It is found to within a 64th of itself, from above."""
    found = least_limit(guest, last, skip)
    assert found is not None
    assert expected <= found <= expected * (1 + 1 / 32)


def shrinking(pages: float) -> Scenario:
    """1,000 pages after a round of two seconds, and `pages` after any shorter one, of a working set of 1,000."""
    return scenario(lambda seconds: 1000.0 if seconds >= 2.0 else pages)


def test_the_least_limit_is_found_in_six_halvings() -> None:
    """With a limit of L seconds a round leaves 1000 L - 50 pages, of 125 that are dirtied so many are among these.

    The next round fits L if 1000 L - 50 >= 600: from 650 ms on. 500 ms do not hold, 1 s does; between them 750 do,
    625 not, 687.5 do, 656.25 do, 640.625 not, 648.4375 not.
    """
    assert least_limit(shrinking(125), LAST, skip=False) == 0.65625


def test_limits_down_to_a_part_in_4096_are_tried() -> None:
    """Of 2 s: 0.49 ms. Where 0.3 pages are left any limit will do; where 0.6 are, 0.98 ms hold, and 0.49 ms do not."""
    assert least_limit(shrinking(0.3), LAST, skip=False) == 0.0
    found = least_limit(shrinking(0.6), LAST, skip=False)
    assert found is not None
    assert 0.0006 <= found <= 0.00061


def test_limits_are_tried_down_to_half_a_millisecond_however_large_the_working_set_is() -> None:
    """A million pages take 1,000 s, of which 2,000 s / 4,096 are half a second; 300 of them are dirty in any round."""
    guest = scenario(lambda seconds: 300.0 if seconds < math.inf else 1e6)
    found = least_limit(guest, LAST, skip=False)
    assert found is not None
    assert 0.3 <= found <= 0.3 * (1 + 1 / 32)


def test_the_least_limit_is_above_one_that_does_not_hold() -> None:
    """Rounds are whole: a limit that there is may fail where all those hold that are tried by halving."""
    assert least_limit(shrinking(0.3), LAST, skip=False) == 0.0
    assert least(lambda limit: limit != 0.07, 1.6, 12) == 0.0
    assert 0.07 < least(lambda limit: limit != 0.07, 1.6, 12, 0.07) <= 0.07 * (1 + 1 / 32)
    assert 0.0001 < least(lambda limit: limit != 0.0001, 1.6, 12, 0.0001) <= 1.6 / 4096, "below all that are tried"


def test_the_least_limit_between_powers_of_two() -> None:
    """1,300 pages: 2.6 s hold, 1.3 s hold, 0.65 s do not; 1.3 s are the least that hold."""
    assert least_limit(scenario(always(1300)), LAST, skip=False) == 1.3
    # a guest that dirties 1,000 pages in the last round, and 500 in a shorter one: half a second, with 50 ms to spare
    found = least_limit(shrinking(500), LAST, skip=False)
    assert found is not None
    assert simulate(shrinking(500), LAST, 0.0, found, skip=False) is not None
    assert simulate(shrinking(500), LAST, 0.0, found * 0.95, skip=False) is None

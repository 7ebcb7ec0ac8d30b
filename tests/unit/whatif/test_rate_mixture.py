"""Rates from intervals: worked out by hand, and of synthetic guests whose rates are known.

Tolerances are four standard errors of a share: ``4 sqrt(p (1 - p) / n)`` for `n` observed intervals.
"""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
from fakedirty.whatif.rate_mixture import IntervalObservations, RateMixture

PAGES = 20_000
ALL = np.arange(PAGES)


def observed(rates: np.ndarray, lengths: list[float], seed: int = 1) -> IntervalObservations:
    """Intervals of these lengths, drawn for pages with these rates."""
    chance = np.random.default_rng(seed)
    found = IntervalObservations(len(rates), min(lengths), sum(lengths))
    for length in lengths:
        happened = chance.random(len(rates)) < -np.expm1(-rates * length)
        found.observe(np.arange(len(rates)), np.full(len(rates), length), happened)
    return found


def standard_errors(share: float, intervals: int) -> float:
    return 4 * sqrt(share * (1 - share) / intervals)


def test_one_rate_is_found_where_intervals_have_several_lengths() -> None:
    """Half an event a second. In 2 s a share of 1 - exp(-1) is written, in 0.5 s of 1 - exp(-0.25)."""
    mixture = observed(np.full(PAGES, 0.5), [0.5, 2.0] * 3).fit()
    for length in (0.5, 2.0):
        share = 1 - exp(-0.5 * length)
        assert mixture.probability(length).mean() == pytest.approx(share, abs=standard_errors(share, 3 * PAGES))


def test_a_hot_subset_is_told_from_the_rest() -> None:
    """A tenth is written ten times a second, a tenth every two seconds, the rest never."""
    rates = np.zeros(PAGES)
    rates[:2000], rates[2000:4000] = 10.0, 0.5
    mixture = observed(rates, [1.0] * 8).fit()
    found = mixture.probability(1.0)
    assert found[4096:].max() < 0.01  # eight intervals without a write, and no neighbour with one
    share = 1 - exp(-0.5)
    assert found[2000:4000].mean() == pytest.approx(share, abs=standard_errors(share, 8 * 2000))
    assert found[:2000].mean() == pytest.approx(1.0, abs=0.01)


def test_pages_of_a_guest_in_phases_have_the_mean_of_their_phases() -> None:
    """Every page is written in one second and rests in the next, by turns.

    Rates of the grid are 11 % apart: half of that is 2 % of the share.
    """
    found = IntervalObservations(PAGES, 1.0, 8.0)
    for turn in range(8):
        found.observe(ALL, np.ones(PAGES), (ALL + turn) % 2 == 0)
    assert found.fit().probability(1.0).mean() == pytest.approx(0.5, abs=0.02)


def test_a_page_written_in_every_interval_has_no_upper_bound() -> None:
    mixture = observed(np.full(100, 1e9), [1.0, 2.0]).fit()
    assert np.isinf(mixture.quantile(0.975)).all()
    assert (mixture.probability(1e-6, "high") == 1.0).all()
    assert (mixture.probability(1e-6, "low") < 0.01).all()
    assert (mixture.probability(1e-6) > 0.8).all()  # it is expected to be written at once
    assert (mixture.probability(1.0, "low") > 0.5).all()  # a lower rate would have missed an interval


def test_a_page_never_written_has_no_lower_bound() -> None:
    mixture = observed(np.zeros(100), [1.0, 2.0]).fit()
    assert (mixture.quantile(0.025) == 0).all()
    # at 1 event in 3 s all intervals would be empty for one page in e: a rate much higher is not possible
    assert (mixture.quantile(0.975) < 4 / 3.0).all()


def test_bounds_contain_what_is_expected() -> None:
    mixture = observed(np.geomspace(0.05, 20, PAGES), [0.3, 1.0, 2.0, 0.6]).fit()
    for length in (0.1, 1.0):
        low, middle, high = (mixture.probability(length, bound) for bound in ("low", "expected", "high"))
        assert (low <= middle + 1e-12).all()
        assert (middle <= high + 1e-12).all()


def test_a_mixture_by_hand() -> None:
    """A page at 0 or at ln 2 with equal weight: in a second 0 or a half, which is a quarter; in two 3/8."""
    mixture = RateMixture(
        np.array([0.0, np.log(2), np.inf]), np.array([[0.5, 0.5, 0.0], [0, 0, 1]]), np.array([0, 1, 0])
    )
    assert mixture.probability(1.0) == pytest.approx([0.25, 1.0, 0.25])
    assert mixture.probability(2.0) == pytest.approx([0.375, 1.0, 0.375])
    assert mixture.probability(0.0) == pytest.approx([0, 0, 0])
    assert mixture.probability(1.0, "low") == pytest.approx([0.0, 1.0, 0.0])
    assert mixture.probability(1.0, "high") == pytest.approx([0.5, 1.0, 0.5])
    # times of their own, rounded to 64 lengths from 1 s to 2 s: to 0.6 % of the time
    found = mixture.probabilities(np.array([0, 2, 1]), np.array([1.0, 2.0, 1.5]))
    assert found == pytest.approx([0.25, 0.375, 1.0])
    assert mixture.probabilities(np.zeros(0, int), np.zeros(0)).shape == (0,)


def test_pages_with_the_same_intervals_are_one_class() -> None:
    found = IntervalObservations(6, 1.0, 3.0)
    found.observe(np.arange(6), np.ones(6), np.array([1, 1, 1, 0, 0, 0], bool))
    found.observe(np.array([0, 1, 3]), np.ones(3), np.array([1, 0, 0], bool))
    classes = found.fit().classes
    assert classes[4] == classes[5]
    assert len(set(classes.tolist())) == 5

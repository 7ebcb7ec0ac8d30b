"""The statistics of campaigns, compared with scipy's and with samples worked out by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from fakedirty.campaign.report.statistics import cliffs_delta, coverage, holm, median, paired, smallest_p
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

#: total times in seconds of a dozen runs: drawn once, written down
KNOWN = np.array([2.85, 3.02, 2.71, 2.93, 3.40, 2.66, 2.88, 3.11, 2.79, 2.97, 3.25, 2.74])
BEFORE = np.array([5.7, 5.2, 6.1, 5.9, 5.5, 6.4, 5.0, 5.8])
AFTER = np.array([2.9, 3.1, 2.7, 3.0, 3.3, 2.6, 2.8, 5.9])
TIMES = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=15)


def none(values: np.ndarray) -> np.ndarray:
    return np.zeros(len(values), bool)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=20))
@settings(deadline=None, max_examples=25)
def test_where_nothing_is_censored_it_is_the_ordinary_median(values: list[float]) -> None:
    sample = np.array(values)
    assert median(sample, none(sample)).value == pytest.approx(np.median(sample))


@given(TIMES)
@settings(deadline=None, max_examples=40)
def test_where_some_are_censored_it_is_that_of_scipys_survival_function(runs: list[tuple[int, bool]]) -> None:
    times, censored = np.array([float(time) for time, _ in runs]), np.array([cut for _, cut in runs])
    survival = stats.ecdf(stats.CensoredData(times[~censored], right=times[censored])).sf
    half = survival.quantiles[survival.probabilities <= 0.5 + 1e-9]
    below = survival.quantiles[survival.probabilities < 0.5 - 1e-9]
    expected = (half[0] + below[0]) / 2 if len(below) else math.inf
    assert median(times, censored).value == pytest.approx(expected)


def test_what_did_not_end_outlasts_what_did() -> None:
    """What it had reached when it was cut off is not where it ranks: 861 was the greatest seen, and is no median."""
    sent, cut = np.array([843.0, 812, 860, 835, 828, 861]), np.array([True] * 5 + [False])
    assert median(sent, cut).value == 861
    estimate = median(sent, cut, cut)
    assert (estimate.value, estimate.low, estimate.bound) == (math.inf, math.inf, 839)


@given(TIMES)
@settings(deadline=None, max_examples=25)
def test_what_did_not_end_is_censored_beyond_all_others(runs: list[tuple[int, bool]]) -> None:
    times, cut = np.array([float(time) for time, _ in runs]), np.array([cut for _, cut in runs])
    assert median(times, cut, cut).value == median(np.where(cut, 99, times), cut).value


@pytest.mark.parametrize("sample", [KNOWN, BEFORE, AFTER, KNOWN[:5]])
def test_the_interval_is_that_of_scipys_bootstrap(sample: np.ndarray) -> None:
    """Drawn in the same order, the same medians: only how a quantile is read between two of them may differ."""
    ours = median(sample, none(sample))
    theirs = stats.bootstrap(
        (sample,), np.median, vectorized=True, n_resamples=9999, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    step = np.diff(np.unique([(a + b) / 2 for a, b in product(sample, sample)])).max()
    assert ours.low == pytest.approx(theirs.low, abs=step)
    assert ours.high == pytest.approx(theirs.high, abs=step)
    assert ours.low is not None
    assert ours.high is not None
    assert sample.min() <= ours.low < ours.value < ours.high <= sample.max()


def test_an_interval_is_the_same_each_time() -> None:
    assert median(KNOWN, none(KNOWN)) == median(KNOWN, none(KNOWN))


def test_the_order_of_the_runs_does_not_matter() -> None:
    censored = KNOWN > 3
    order = np.random.default_rng(7).permutation(len(KNOWN))
    assert median(KNOWN, censored) == median(KNOWN[order], censored[order])


def test_what_most_runs_did_not_reach_has_no_median_but_a_bound() -> None:
    cut = np.array([False, True, True, True])
    estimate = median(np.array([12.0, 60.0, 60.0, 60.0]), cut, cut)
    assert not estimate.reached
    assert estimate.bound == 60
    assert estimate.high == math.inf
    assert estimate.low == 12


def test_half_of_the_runs_do_not_make_a_median() -> None:
    """Two of four ended: the median is the middle of 12 and of something beyond 60."""
    cut = np.array([False, False, True, True])
    estimate = median(np.array([10.0, 12.0, 60.0, 60.0]), cut, cut)
    assert not estimate.reached
    assert estimate.bound == 36


def test_a_run_that_failed_at_once_takes_no_part() -> None:
    values, censored = np.array([0.0, 3.0, 4.0, 5.0]), np.array([True, False, False, False])
    assert median(values, censored).value == 4


def test_a_single_run_has_no_interval() -> None:
    estimate = median(np.array([3.0]), np.array([False]))
    assert (estimate.value, estimate.low, estimate.high) == (3.0, None, None)


def test_paired_differences_are_scipys() -> None:
    difference = paired(AFTER, none(AFTER), BEFORE, none(BEFORE))
    assert difference.least == difference.most == np.median(AFTER - BEFORE)
    assert difference.test == "signed rank"
    assert difference.p == pytest.approx(stats.wilcoxon(AFTER, BEFORE).pvalue)
    assert (difference.up, difference.down) == (1, 7)
    interval = stats.bootstrap(
        (AFTER - BEFORE,), np.median, n_resamples=9999, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert difference.low == pytest.approx(interval.low, abs=0.1)
    assert difference.high == pytest.approx(interval.high, abs=0.1)


def test_a_base_that_was_cut_off_bounds_the_difference_from_above() -> None:
    base, cut = np.full(6, 60.0), np.ones(6, bool)
    treated = np.array([2.9, 3.1, 2.7, 3.0, 3.3, 2.6])
    difference = paired(treated, none(treated), base, cut)
    assert difference.least == -math.inf
    assert difference.most == np.median(treated - 60)
    assert difference.low == -math.inf
    assert difference.high is not None
    assert difference.most <= difference.high < 0
    assert difference.test == "sign"
    assert difference.p == pytest.approx(stats.binomtest(0, 6).pvalue) == smallest_p(6)


def test_two_that_were_both_cut_off_have_no_order() -> None:
    limit, cut = np.full(4, 60.0), np.ones(4, bool)
    difference = paired(limit, cut, limit, cut)
    assert (difference.least, difference.most) == (-math.inf, math.inf)
    assert (difference.up, difference.down, difference.p, difference.smallest_p) == (0, 0, None, None)


def test_equal_pairs_have_no_p() -> None:
    difference = paired(BEFORE, none(BEFORE), BEFORE, none(BEFORE))
    assert (difference.least, difference.most, difference.p) == (0, 0, None)


@pytest.mark.parametrize("pairs", range(1, 9))
def test_no_test_gives_less_than_the_smallest_p(pairs: int) -> None:
    shrunk = -np.arange(1.0, pairs + 1)
    assert stats.wilcoxon(shrunk).pvalue == pytest.approx(smallest_p(pairs))
    assert stats.binomtest(0, pairs).pvalue == pytest.approx(smallest_p(pairs))


def test_five_pairs_cannot_be_significant_and_six_can() -> None:
    assert smallest_p(5) > 0.05 > smallest_p(6)


@pytest.mark.parametrize("runs", [2, 3, 5, 6])
def test_the_range_of_few_runs_covers_the_median_less_often_than_it_should(runs: int) -> None:
    """Of a symmetric distribution about 0: all above or all below is what misses it."""
    draws = np.random.default_rng(3).normal(size=(200_000, runs))
    within = ((draws.min(axis=1) < 0) & (draws.max(axis=1) > 0)).mean()
    assert within == pytest.approx(coverage(runs), abs=0.005)


def test_cliffs_delta_is_that_of_mann_and_whitneys_u() -> None:
    u = stats.mannwhitneyu(AFTER, BEFORE).statistic
    assert cliffs_delta(AFTER, none(AFTER), BEFORE, none(BEFORE)) == pytest.approx(
        2 * u / (len(AFTER) * len(BEFORE)) - 1
    )


def test_cliffs_delta_counts_what_is_known_of_censored_runs() -> None:
    ended, limit = np.array([3.0, 4.0]), np.array([60.0, 60.0])
    cut = np.ones(2, bool)
    assert cliffs_delta(ended, none(ended), limit, cut) == -1
    assert cliffs_delta(limit, cut, ended, none(ended)) == 1
    assert cliffs_delta(limit, cut, limit, cut) == 0
    early = np.array([3.5, 3.5])
    assert cliffs_delta(ended, none(ended), early, cut) == -0.5


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_p_and_bonferronis(p_values: list[float]) -> None:
    for p, corrected in zip(p_values, holm(p_values), strict=True):
        assert p <= corrected <= min(1.0, p * len(p_values)) + 1e-12

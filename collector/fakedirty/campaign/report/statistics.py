"""Medians, paired differences and effect sizes of runs, some of which were cut off before they ended.

A run that was cut off is *censored*: its value is known to be greater than what was measured. It stays in every
figure: medians are those of the Kaplan-Meier estimate, and a difference that is only known to lie below a bound is
given as that bound. Infinity stands for "not reached".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Statistic = Callable[..., Values]

CONFIDENCE = 0.95
RESAMPLES, SEED = 9999, 1
ROUNDING = 1e-9  # of a Kaplan-Meier product of a few dozen factors


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated value with its confidence interval.

    Attributes:
        value: infinite if it was not reached; it is then greater than `bound`.
        low: lower end of the interval; None with a single run.
        high: upper end.
        bound: the median of what is known of the runs.
    """

    value: float
    low: float | None
    high: float | None
    bound: float

    @property
    def reached(self) -> bool:
        """Whether the value is known, and not only a bound of it."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True, slots=True)
class Difference:
    """Paired differences.

    Attributes:
        pairs: how many there are.
        up: how many are known to have grown.
        down: how many are known to have shrunk.
        least: lower bound of their median.
        most: upper bound of their median; equal to `least` unless pairs are censored.
        low: lower end of the confidence interval, widened by what is not known; None with fewer than two pairs.
        high: its upper end.
        test: name of the test.
        p: its two-sided p; None if no pair is known to differ.
        smallest_p: the smallest p that so many pairs can give; None if no pair is known to differ.
    """

    pairs: int
    up: int
    down: int
    least: float
    most: float
    low: float | None
    high: float | None
    test: str
    p: float | None
    smallest_p: float | None


def median(values: Values, censored: Truths, unended: Truths | None = None) -> Estimate:
    """The Kaplan-Meier median, with the interval of the percentile bootstrap.

    If exactly half of the runs survive a stretch of time, the median is the middle of it, as in an ordinary median.

    Args:
        values: at least one.
        censored: of each value, whether the true one is greater.
        unended: of each value, whether it was still growing when the last other had stopped. Such a value is
            censored, and greater than any that is known.
    """
    last = np.zeros(len(values), bool) if unended is None else unended
    reach = np.where(last, np.inf, values)
    # of equal values, a measured one comes before one that was cut off there
    order = np.lexsort((censored, reach))
    statistic = partial(_kaplan_meier_median, reach[order], ~censored[order])
    positions = np.arange(len(values))
    low, high = _interval((positions,), statistic, statistic)
    known = values[last | ~censored]
    return Estimate(float(statistic(positions)), low, high, float(np.median(known if len(known) else values)))


def paired(treated: Values, treated_censored: Truths, base: Values, base_censored: Truths) -> Difference:
    """How values differ from a baseline, pair by pair.

    Args:
        treated: at least one value.
        treated_censored: of each value, whether the true one is greater.
        base: a value of the baseline for each treated one.
        base_censored: of each, whether the true one is greater.
    """
    difference = treated - base
    least = np.where(base_censored, -np.inf, difference)
    most = np.where(treated_censored, np.inf, difference)
    up, down = int((least > 0).sum()), int((most < 0).sum())
    exact = not (treated_censored.any() or base_censored.any())
    if exact:
        low, high = _interval((difference,), _middle, _middle)
    else:
        low, high = _interval((least, most), _middle_of_first, _middle_of_second)
    known = up + down
    p, name = (_signed_rank(difference), "signed rank") if exact else (_sign(up, down), "sign")
    return Difference(
        pairs=len(difference),
        up=up,
        down=down,
        least=float(_middle(least)),
        most=float(_middle(most)),
        low=low,
        high=high,
        test=name,
        p=p,
        smallest_p=smallest_p(known) if known else None,
    )


def smallest_p(pairs: int) -> float:
    """The two-sided p of `pairs` differences of one sign: no test of signs or ranks can give a smaller one."""
    return float(min(1.0, 2.0 ** (1 - pairs)))


def coverage(runs: int) -> float:
    """The probability that the range of so many runs has the true median in it.

    This range is the widest interval that resampling can give.
    """
    return float(1 - 2.0 ** (1 - runs))


def cliffs_delta(treated: Values, treated_censored: Truths, base: Values, base_censored: Truths) -> float:
    """Cliff's delta: how much more often a treated value is the greater than the smaller, of all pairs.

    A pair counts as equal if one of it was cut off too early to know their order.

    Returns:
        From -1 to 1.
    """
    own, own_censored = treated[:, np.newaxis], treated_censored[:, np.newaxis]
    greater = ((own > base) | (own_censored & (own >= base))) & ~base_censored
    smaller = ((own < base) | (base_censored & (own <= base))) & ~own_censored
    return float(greater.mean() - smaller.mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down procedure, in the given order."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return [float(each) for each in corrected]


def _kaplan_meier_median(times: Values, measured: Truths, positions: npt.NDArray[Any], axis: int = -1) -> Values:
    """The median of each sample that `positions` draws from the ordered `times`; infinite if it is not reached."""
    drawn = np.sort(np.moveaxis(positions, axis, -1).astype(int), axis=-1)
    at, ends = times[drawn], measured[drawn]
    runs = at.shape[-1]
    survival = np.cumprod(1 - ends / (runs - np.arange(runs)), axis=-1)
    return (_first(at, survival <= 0.5 + ROUNDING) + _first(at, survival < 0.5 - ROUNDING)) / 2


def _first(at: Values, reached: Truths) -> Values:
    """The first time of each row at which `reached` holds; infinite if it never does."""
    first = np.take_along_axis(at, reached.argmax(axis=-1, keepdims=True), axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), first, np.inf)


def _middle(values: Values, axis: int = -1) -> Values:
    return np.asarray(np.median(values, axis=axis))


def _middle_of_first(first: Values, _: Values, axis: int) -> Values:
    return _middle(first, axis)


def _middle_of_second(_: Values, second: Values, axis: int) -> Values:
    return _middle(second, axis)


def _interval(data: tuple[npt.NDArray[Any], ...], low: Statistic, high: Statistic) -> tuple[float | None, float | None]:
    """The interval from a low quantile of the statistic `low` to a high quantile of `high`, over resampled `data`."""
    if len(data[0]) < 2:
        return None, None
    tail = (1 - CONFIDENCE) / 2
    lows = _resampled(data, low)
    highs = lows if high is low else _resampled(data, high)
    # quantiles that are values of the sample: nothing lies between a number and infinity
    ends = (np.quantile(lows, tail, method="inverted_cdf"), np.quantile(highs, 1 - tail, method="inverted_cdf"))
    return float(ends[0]), float(ends[1])


def _resampled(data: tuple[npt.NDArray[Any], ...], statistic: Statistic) -> Values:
    # scipy also computes quantiles, which are not used here: it subtracts infinities
    with np.errstate(invalid="ignore"):
        result = stats.bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(SEED),
        )
    return np.asarray(result.bootstrap_distribution)


def _signed_rank(difference: Values) -> float | None:
    if not difference.any():
        return None
    return float(stats.wilcoxon(difference).pvalue)


def _sign(up: int, down: int) -> float | None:
    return float(stats.binomtest(up, up + down).pvalue) if up + down else None

"""Medians, paired differences and effect sizes of runs, some of which were cut off before they ended.

A run that was cut off is *censored*: its value is known to be greater than what was seen. It stays in every figure:
medians are those of the Kaplan-Meier estimate, a difference that is known only to lie below a bound is said as that
bound. Infinity stands for "not reached".
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
    """A figure and its confidence interval; `low` and `high` are None where a single value allows none.

    A `value` of infinity was not reached: it is greater than `bound`, the median of what is known of the runs.
    """

    value: float
    low: float | None
    high: float | None
    bound: float

    @property
    def reached(self) -> bool:
        """Whether the value is known, not only a bound of it."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True, slots=True)
class Difference:
    """The median of paired differences lies from `least` to `most`: one number, unless pairs were censored.

    `low` to `high` is the confidence interval, widened by what is not known; None with fewer than two pairs.
    `up` and `down` count the pairs that are known to have grown or shrunk; `smallest_p` is the least that `p`, by
    `test`, can be with so many pairs. `p` is None where no pair is known to differ.
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
    """The Kaplan-Meier median of at least one value, with the percentile bootstrap's interval.

    Of the censored values, those that are `unended` are greater than any that is known: what was still growing when
    the last other had stopped. Where half of the runs survive a stretch exactly, the middle of it is taken, as in an
    ordinary median.
    """
    last = np.zeros(len(values), bool) if unended is None else unended
    reach = np.where(last, np.inf, values)
    # of equal values, one that was seen comes before one that was cut off there
    order = np.lexsort((censored, reach))
    statistic = partial(_kaplan_meier_median, reach[order], ~censored[order])
    positions = np.arange(len(values))
    low, high = _interval((positions,), statistic, statistic)
    known = values[last | ~censored]
    return Estimate(float(statistic(positions)), low, high, float(np.median(known if len(known) else values)))


def paired(treated: Values, treated_censored: Truths, base: Values, base_censored: Truths) -> Difference:
    """How `treated` differs from `base`, pair by pair; both have the same, positive length."""
    difference = treated - base
    least = np.where(base_censored, -np.inf, difference)
    most = np.where(treated_censored, np.inf, difference)
    up, down = int((least > 0).sum()), int((most < 0).sum())
    exact = not (treated_censored.any() or base_censored.any())
    if exact:
        low, high = _interval((difference,), _middle, _middle)
    else:
        low, high = _interval((least, most), _middle_of_first, _middle_of_second)
    told = up + down
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
        smallest_p=smallest_p(told) if told else None,
    )


def smallest_p(pairs: int) -> float:
    """The two-sided p of `pairs` differences that all go the same way: no test of signs or ranks can say less."""
    return float(min(1.0, 2.0 ** (1 - pairs)))


def coverage(runs: int) -> float:
    """How often the range of so many runs, the widest interval a resampling can give, has the median within it."""
    return float(1 - 2.0 ** (1 - runs))


def cliffs_delta(treated: Values, treated_censored: Truths, base: Values, base_censored: Truths) -> float:
    """How much more often a treated value is the greater than the smaller, of all pairs: from -1 to 1.

    A pair whose order is not known, because one of them was cut off too early to tell, counts as equal.
    """
    own, own_censored = treated[:, np.newaxis], treated_censored[:, np.newaxis]
    greater = ((own > base) | (own_censored & (own >= base))) & ~base_censored
    smaller = ((own < base) | (base_censored & (own <= base))) & ~own_censored
    return float(greater.mean() - smaller.mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, corrected for their number by Holm's step-down procedure, in the order given."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return [float(each) for each in corrected]


def _kaplan_meier_median(times: Values, seen: Truths, positions: npt.NDArray[Any], axis: int = -1) -> Values:
    """Of each sample that `positions` draws from the ordered `times`; infinity where it is not reached."""
    drawn = np.sort(np.moveaxis(positions, axis, -1).astype(int), axis=-1)
    at, ends = times[drawn], seen[drawn]
    runs = at.shape[-1]
    survival = np.cumprod(1 - ends / (runs - np.arange(runs)), axis=-1)
    return (_first(at, survival <= 0.5 + ROUNDING) + _first(at, survival < 0.5 - ROUNDING)) / 2


def _first(at: Values, reached: Truths) -> Values:
    """The first time of each row at which `reached` holds; infinity where it never does."""
    first = np.take_along_axis(at, reached.argmax(axis=-1, keepdims=True), axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), first, np.inf)


def _middle(values: Values, axis: int = -1) -> Values:
    return np.asarray(np.median(values, axis=axis))


def _middle_of_first(first: Values, _: Values, axis: int) -> Values:
    return _middle(first, axis)


def _middle_of_second(_: Values, second: Values, axis: int) -> Values:
    return _middle(second, axis)


def _interval(data: tuple[npt.NDArray[Any], ...], low: Statistic, high: Statistic) -> tuple[float | None, float | None]:
    """From the lower quantile of what `low` makes of resampled `data` to the upper one of what `high` does."""
    if len(data[0]) < 2:
        return None, None
    tail = (1 - CONFIDENCE) / 2
    lows = _resampled(data, low)
    highs = lows if high is low else _resampled(data, high)
    # quantiles that are values: between a number and infinity there is none
    ends = (np.quantile(lows, tail, method="inverted_cdf"), np.quantile(highs, 1 - tail, method="inverted_cdf"))
    return float(ends[0]), float(ends[1])


def _resampled(data: tuple[npt.NDArray[Any], ...], statistic: Statistic) -> Values:
    with np.errstate(invalid="ignore"):  # scipy's own quantiles, which are not used, subtract infinities
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

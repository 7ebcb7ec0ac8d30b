"""The rates at which events happen to pages, estimated from intervals in which at least one event happened, or none.

The model: events of page `p` are a Poisson process of rate ``λ_p``, so an interval of `t` seconds has one with
probability ``1 - exp(-λ_p t)``. An interval does not show how many there were: rates are interval-censored. A page
with an event in every interval may have any higher rate, and a page with none may have any lower one. So rates are not
estimated page by page: the distribution of rates among neighbours is, by maximum likelihood on a grid of rates that has
0 and infinity at its ends (Laird, 1978; the EM algorithm). Each page then has the distribution of rates that its own
intervals leave possible. Pages far apart have distributions of their own, because rates differ by place, and so do the
intervals: QEMU's scan passes neighbours in the same rounds.

Neighbours with the same intervals and events form a class, and are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bound = Literal["low", "expected", "high"]

GRID_RATES = 96  # between the ends
# Nothing is told apart below a twentieth of an event in all intervals, and above 200 events in the shortest one.
SLOWEST, FASTEST = 0.05, 200.0
# Where intervals do not tell rates apart, a page is expected to be written at once or never, as the working set of the
# verdict is: 0 and infinity begin with so many times the weight of all other rates. Bounds are computed without that.
AT_ENDS = 10.0
RESOLUTION = 0.02  # lengths of intervals that differ by less are the same, unless more is said
COVERAGE = 0.95  # of the rates that are possible for a page lie between its bounds
MOST_STEPS, ENOUGH = 500, 1e-7  # of the EM algorithm; the change of the likelihood of a page at which it ends
NEIGHBOURS = 512  # pages that share a distribution: 2 MiB of memory
LENGTHS = 64  # to which the lengths of one call are rounded


@dataclass(frozen=True, slots=True)
class RateMixture:
    """The rates that are possible for each page.

    Attributes:
        rates: the grid, in events a second, in ascending order; shape (rates,).
        weights: how probable each rate is for a page of each class; shape (classes, rates).
        classes: the class of each page; shape (pages,).
    """

    rates: Numbers
    weights: Numbers
    classes: Indexes

    def probability(self, seconds: float, bound: Bound = "expected") -> Numbers:
        """The probability of at least one event within a time.

        Args:
            seconds: the length of the time.
            bound: `expected` is the mean over all rates that are possible. `low` and `high` take for each page the
                lowest and the highest rate that is.

        Returns:
            From 0 to 1; shape (pages,).
        """
        return self._table(np.array([seconds]), bound)[:, 0][self.classes]

    def probabilities(self, at: Indexes, seconds: Numbers, bound: Bound = "expected") -> Numbers:
        """The same for some pages, each with a time of its own, which is rounded to one of `LENGTHS`.

        Args:
            at: the pages; shape (n,).
            seconds: the length of the time of each; shape (n,).
            bound: as for :meth:`probability`.

        Returns:
            Shape (n,).
        """
        if not len(at):
            return np.zeros(0)
        logs = np.log(np.maximum(seconds, 1e-9))
        lengths = np.linspace(logs.min(), logs.max(), LENGTHS if np.ptp(logs) > 0 else 1)
        nearest = np.abs(np.searchsorted((lengths[1:] + lengths[:-1]) / 2, logs))
        return self._table(np.exp(lengths), bound)[self.classes[at], nearest]

    def quantile(self, share: float) -> Numbers:
        """For each class the lowest rate of the grid below or at which `share` of its rates lie; shape (classes,)."""
        ends = (self.rates == 0) | np.isinf(self.rates)
        sums = np.cumsum(self.weights / np.where(ends, AT_ENDS * len(self.rates), 1.0), axis=1)
        lowest: Numbers = self.rates[np.argmax(sums >= share * sums[:, -1:] - 1e-12, axis=1)]
        return lowest

    def _table(self, seconds: Numbers, bound: Bound) -> Numbers:
        """The probability for each class and each time; shape (classes, times)."""
        if bound == "expected":
            return self.weights @ _happens(self.rates, seconds)
        share = (1 - COVERAGE) / 2
        return _happens(self.quantile(share if bound == "low" else 1 - share), seconds)


class IntervalObservations:
    """The intervals and events of all pages, as they are observed, and the mixture that fits them."""

    def __init__(self, pages: int, shortest: float, longest: float, resolution: float = RESOLUTION) -> None:
        """No observation yet.

        Args:
            pages: how many there are.
            shortest: seconds of the shortest interval.
            longest: seconds of all intervals of a page together, at most.
            resolution: intervals whose lengths differ by a smaller share than this are taken to be equal.
        """
        self._resolution = resolution
        middle = np.geomspace(SLOWEST / longest, FASTEST / shortest, GRID_RATES)
        self._rates = np.array([0.0, *middle, np.inf])
        self._classes = np.arange(pages) // NEIGHBOURS
        self._places = np.unique(self._classes)  # of each class, which neighbours they are; in ascending order
        self._logs = np.zeros((len(self._places), len(self._rates)))

    def observe(self, at: Indexes, seconds: Numbers, happened: Flags) -> None:
        """Add one interval to each of some pages.

        Args:
            at: the pages, each once; shape (n,).
            seconds: the length of the interval of each, above 0; shape (n,).
            happened: whether there was an event in it; shape (n,).
        """
        if not len(at):
            return
        steps = np.round(np.log(seconds) / self._resolution).astype(np.int64)
        # pages without an interval now keep their class: outcome 0
        outcomes, of_page = np.unique(np.stack([steps, happened]), axis=1, return_inverse=True)
        keys = self._classes * (outcomes.shape[1] + 1)
        keys[at] += of_page.ravel() + 1
        found, self._classes = np.unique(keys, return_inverse=True)
        parents, outcome = np.divmod(found, outcomes.shape[1] + 1)
        updates = np.vstack([np.zeros(len(self._rates)), *map(self._likelihood, *outcomes)])
        self._logs = self._logs[parents] + updates[outcome]
        self._places = self._places[parents]

    def fit(self, most_steps: int = MOST_STEPS) -> RateMixture:
        """The mixture of greatest likelihood."""
        pages = np.bincount(self._classes, minlength=len(self._logs)).astype(np.float64)[:, None]
        likelihoods = np.exp(self._logs - self._logs.max(axis=1, keepdims=True))
        begins = np.flatnonzero(np.diff(self._places, prepend=-1))  # the first class of each place
        of_place = np.add.reduceat(pages, begins)
        shares = np.ones((len(begins), len(self._rates)))
        shares[:, [0, -1]] = AT_ENDS * len(self._rates)
        shares /= shares.sum(axis=1, keepdims=True)
        before = -np.inf
        for _ in range(most_steps):
            of_class = (likelihoods * shares[self._places]).sum(axis=1, keepdims=True)
            now = float((pages * np.log(of_class)).sum()) / len(self._classes)
            if now - before < ENOUGH:
                break
            before = now
            shares *= np.add.reduceat(likelihoods * (pages / of_class), begins) / of_place
        weights = likelihoods * shares[self._places]
        return RateMixture(self._rates, weights / weights.sum(axis=1, keepdims=True), self._classes)

    def _likelihood(self, step: int, happened: int) -> Numbers:
        """The logarithm of the likelihood of one interval, for each rate."""
        probability = _happens(self._rates, np.array([np.exp(step * self._resolution)]))[:, 0]
        with np.errstate(divide="ignore"):
            return np.log(probability if happened else 1 - probability)


def _happens(rates: Numbers, seconds: Numbers) -> Numbers:
    """The probability of an event for each rate and each time; shape (rates, times)."""
    with np.errstate(invalid="ignore"):
        probabilities: Numbers = -np.expm1(-rates[:, None] * seconds[None, :])
    return np.where(seconds[None, :] > 0, probabilities, 0.0)

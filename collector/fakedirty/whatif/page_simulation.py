"""Plays a migration page by page, as QEMU's migration loop runs it.

As in :mod:`fakedirty.model.simulation`, rounds send dirty pages while the guest makes others dirty, QEMU looks every
50 ms at what is left, and it decides by counted bytes. Here each page has a probability of being dirty, and of having
changed: sums over pages are expected values, so nothing is drawn at random. The scan goes round and round through RAM,
and a round leaves the pages that it did not come to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fakedirty.model.forecast import Estimate
from fakedirty.model.sampling import wilson
from fakedirty.model.simulation import ITERATION_SECONDS, MOST_ROUNDS, STANDSTILL

from .guest_pages import GuestPages
from .page_costs import ZERO_BYTES, PageCosts
from .rate_mixture import Bound
from .variants import Variant
from .xbzrle_cache import cache_owners

Indexes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

# Rounds without less to send than any before, until there is no end: more than in the model of the verdict, because
# the pages that a round leaves are others each time, and some leave the changed ones.
PATIENCE_ROUNDS = 10
ROUNDING = 1e-9  # seconds, of sums over all pages
NEVER = 1e-6  # a page that is dirty with a smaller probability is clean
# The look at dirty pages by which a QEMU with the patch series decides on the switchover (fake-dirty-look.c)
LOOK_PAGES, LOOK_SECONDS, LOOK_DEVIATIONS = 4096, 5e-3, 3.0
OPPOSITE: dict[Bound, Bound] = {"low": "high", "expected": "expected", "high": "low"}  # the fastest link is the best
GUESSES = 2  # of the moments of visits, where what a page costs depends on when it is visited


@dataclass(frozen=True, slots=True)
class Played:
    """A migration that was played to its end.

    Attributes:
        total_seconds: from the start of its first round.
        downtime_seconds: that sending the rest takes.
        sent_bytes: on the link.
        rounds: how many, the switchover included.
    """

    total_seconds: float
    downtime_seconds: float
    sent_bytes: float
    rounds: int


def play(guest: GuestPages, costs: PageCosts, variant: Variant, bound: Bound) -> Played | None:
    """Play a migration.

    Args:
        guest: what it does to its pages.
        costs: what pages cost.
        variant: the settings.
        bound: `low` takes every uncertain value as it is best for the migration, `high` as it is worst.

    Returns:
        None if it has no end.
    """
    return _Player(guest, costs, variant, bound).play()


@dataclass(frozen=True, slots=True)
class _Costs:
    """What the pages of one round cost, in the order of their visits; each has shape (n,)."""

    seconds: Numbers
    bytes: Numbers
    counted: Numbers


class _Player:
    """The state of a played migration."""

    def __init__(self, guest: GuestPages, costs: PageCosts, variant: Variant, bound: Bound) -> None:
        self._guest, self._costs, self._variant, self._bound = guest, costs, variant, bound
        # a link of another bandwidth varies around it as the recorded one did
        link = _of(costs.rate, OPPOSITE[bound])
        self._rate = link if variant.bandwidth is None else variant.bandwidth * link / costs.rate.expected
        self._hashing, self._delta = _of(costs.hash_seconds, bound), _of(costs.delta_bytes, bound)
        self._comparing = 0.0 if bound == "low" else self._hashing  # with the cache of XBZRLE: not measured
        self._speed = 1 - variant.throttle  # of the guest
        self._dirty = np.ones(guest.pages)
        self._visited = np.zeros(guest.pages)  # when, in seconds
        self._new = np.ones(guest.pages, bool)  # it was never sent
        self._cached = np.zeros(guest.pages)  # the probability that XBZRLE has the page
        self._owners = cache_owners(guest, variant.xbzrle_cache, costs.counted_bytes) if variant.xbzrle_cache else None
        self._now, self._sent, self._round, self._place = 0.0, 0.0, 1, 0

    def play(self) -> Played | None:
        best, waited, aware = math.inf, 0, self._variant.skipping(1)
        while self._round < MOST_ROUNDS:
            skip = self._variant.skipping(self._round)
            self._send(skip=skip, aware=aware or not skip)
            aware = skip
            self._round += 1
            skip = self._variant.skipping(self._round)
            order = self._order()
            rest = self._priced(order, skip=skip, aware=aware or not skip)
            counted = float(rest.counted.sum())
            if counted <= self._variant.limit_seconds + ROUNDING:
                down = float(rest.seconds.sum())
                return Played(self._now + down, down, self._sent + float(rest.bytes.sum()), self._round)
            waited = 0 if counted < best * (1 - STANDSTILL) else waited + 1
            best = min(best, counted)
            if waited == PATIENCE_ROUNDS:
                return None
        return None

    def _send(self, *, skip: bool, aware: bool) -> None:
        """Play one round, and the bitmap sync at its end."""
        order = self._order()
        price = self._priced(order, skip=skip, aware=aware)
        ends = np.cumsum(price.seconds)
        # what QEMU counts as left after each page; it looks at the end of each iteration
        left = np.cumsum(price.counted[::-1])[::-1] - price.counted
        fits = int(np.argmax(left <= self._variant.limit_seconds + ROUNDING))
        looks = max(1, math.ceil((ends[fits] - ROUNDING) / ITERATION_SECONDS))
        if self._round > 1 and not aware:
            looks = len(order) + 1  # it does not know what it will skip: the round ends when all is sent
        duration = min(float(ends[-1]), looks * ITERATION_SECONDS)
        done = int(np.searchsorted(ends, duration + ROUNDING, side="right"))
        sent = order[:done]
        self._remember(sent)
        self._visited[sent] = self._now + ends[:done]
        self._sent += float(price.bytes[:done].sum())
        self._dirty[sent] = 0.0
        self._new[sent] = False
        if done == len(order):
            last = int(order[-1])
            ends_of_blocks = self._guest.block_ends
            self._place = int(ends_of_blocks[np.searchsorted(ends_of_blocks, last, side="right")])
        elif done:
            self._place = int(sent[-1]) + 1
        self._now += duration
        fresh = self._guest.dirtied(duration * self._speed, self._bound)
        self._dirty = 1 - (1 - self._dirty) * (1 - fresh)

    def _order(self) -> Indexes:
        """The pages that may be dirty, in the order of the scan; at least one."""
        active = np.flatnonzero(self._dirty > NEVER)
        if not len(active):
            return np.zeros(1, np.int64)
        cut = int(np.searchsorted(active, self._place))
        return np.concatenate([active[cut:], active[:cut]])

    def _priced(self, order: Indexes, *, skip: bool, aware: bool) -> _Costs:
        """What the pages cost.

        Args:
            order: of the visits.
            skip: whether fake pages are skipped.
            aware: whether QEMU knows how many pages it will skip, or will skip none.
        """
        dirty = self._dirty[order]
        first = self._round == 1
        new = self._new[order]
        zero = np.where(new, self._guest.zero_first[order], self._guest.zero_again[order])
        compares = not first and (skip or self._owners is not None)
        changed = np.ones(len(order))
        seconds = np.zeros(len(order))
        for _ in range(GUESSES if compares else 1):
            if compares:
                moments = self._now + np.cumsum(seconds)
                since = np.maximum(moments - self._visited[order], 0.0) * self._speed
                changed = np.where(new, 1.0, self._guest.changed(order, since, self._bound))
            size = self._sizes(order, changed, skip=skip, first=first)
            on_link = dirty * ((1 - zero) * size + zero * ZERO_BYTES * (changed if skip else 1.0))
            work = dirty * (self._hashing * skip + self._comparing * (compares and self._owners is not None))
            seconds = on_link / self._rate + work + dirty * zero * self._costs.zero_seconds
        whole = self._costs.counted_bytes / self._rate
        counted = dirty * whole
        if skip and aware and not first:
            counted = dirty * (whole * changed * self._caution(dirty, changed) + self._hashing)
        weight = self._guest.weight
        return _Costs(seconds * weight, on_link * weight, counted * weight)

    def _caution(self, dirty: Numbers, changed: Numbers) -> float:
        """How many times as many pages QEMU expects to send as have changed.

        It looks at a sample of the dirty pages, and takes the upper end of the interval of their share.
        """
        pages, sent = float(dirty.sum()), float((dirty * changed).sum())
        sample = min(LOOK_PAGES, LOOK_SECONDS / max(self._hashing, 1e-9), pages * self._guest.weight)
        if not sent or sample < 1:
            return 1.0
        share = sent / pages
        return max(1.0, wilson(round(share * sample), round(sample), LOOK_DEVIATIONS)[1] / share)

    def _sizes(self, order: Indexes, changed: Numbers, *, skip: bool, first: bool) -> Numbers:
        """Bytes on the link that a visited page takes on average if it is not zero."""
        page = self._costs.page_bytes
        if first or self._owners is None:
            return page * (changed if skip and not first else np.ones(len(order)))
        cached = self._cached[order]
        # of the cached pages, unchanged ones cost nothing, with skip or without
        return cached * changed * self._delta + (1 - cached) * page * (changed if skip else 1.0)

    def _remember(self, sent: Indexes) -> None:
        """XBZRLE keeps the pages that are sent after the first round, as far as its cache has room for them."""
        if self._owners is not None and self._round > 1:
            owned = sent[self._owners[sent]]
            self._cached[owned] = 1 - (1 - self._cached[owned]) * (1 - self._dirty[owned])


def _of(estimate: Estimate, bound: Bound) -> float:
    return float(estimate.expected if (value := getattr(estimate, bound)) is None else value)

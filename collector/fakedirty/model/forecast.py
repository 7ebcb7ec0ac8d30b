"""Why a migration does not converge, and whether skipping would help: predicted from its rounds so far.

Both plans are played forward, round by round, as QEMU's loop would: a round sends what is dirty (with skip, what of it
has changed), meanwhile the guest dirties more, and when what is left fits the downtime limit the guest is stopped. What
is uncertain (how fast the guest dirties, what share changes, how fast the link is) is played at its best and its worst.
So is the downtime limit turned round: the least one with which a plan comes to an end.

Two times are kept apart. Sending takes what the bytes on the wire take: after compression, deltas of XBZRLE, zero pages
as headers. QEMU's decision takes every page that it would send for a whole one, whatever comes of it on the wire, and
divides by the rate of the wire (migration_iteration_run() and migration_update_counters(), see docs/verdict.md).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from .enums import Kind, Mode
from .round import Round
from .working_set import Dirtying, fitted, observed, saturated, steady

DOWNTIME_LIMIT_SECONDS = 0.3  # QEMU's default, which is assumed where QEMU's own answer is not known
RECENT_ROUNDS = 8  # are looked at: what a guest writes changes
TELLING_SECONDS = 0.05  # a shorter round says nothing of the link: its pages may still wait in a buffer
HASH_SECONDS = 0.5e-6  # a page, where it was not seen: copying and XXH3 of 4 KiB from memory
WHOLE_PAGE_BYTES = 4096  # of a page in QEMU's decision
PAGE_BYTES = WHOLE_PAGE_BYTES + 8  # of a page on the wire, where bytes were not seen
MOST_CHANNELS = 255  # that QEMU allows multifd
WHOLE = 0.8  # of the working set: a round that came past so much of it has a share of its own
MOST_ROUNDS = 1000
ITERATION_SECONDS = 0.05  # QEMU sends for so long between two looks at what is left (MAX_WAIT in migration/ram.c)
STANDSTILL = 0.01  # of the pages: less than that a round is no way to an end
LIMITS_TRIED, LIMIT_HALVINGS = 12, 6  # for the least limit: powers of two first, then halves of what lies between two


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that may lie from `low` to `high`; `high` is None where at its worst there is none."""

    low: float
    expected: float
    high: float | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What comes of a plan: the total time from the start of the migration, and the downtime, in seconds.

    Both are None where it is not expected to converge; it is `certain` where best and worst agree.
    """

    converges: bool
    certain: bool
    total_seconds: Estimate | None
    downtime_seconds: Estimate | None
    find_least_limit: Callable[[], Estimate | None] = field(repr=False, compare=False)

    @property
    def least_limit_seconds(self) -> Estimate | None:
        """With every downtime limit above it the plan has an end; None where none was found with which it has one.

        It is found when somebody wants to know: that takes longer than all the rest, and rounds come ten a second.
        """
        return self.find_least_limit()


@dataclass(frozen=True, slots=True)
class Refutation:
    """A prediction that did not come true, made after `after_round`.

    `total_seconds` is when the end was expected, counted from the start of the migration; None where none was.
    """

    after_round: int
    total_seconds: Estimate | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of a migration after `after_round` rounds.

    `unchanged_ratio` is the share of fake pages in the bytes that were, or without skip would have been, sent again.
    `dirty_pages` are those expected to be dirty when the next round of the present length begins, `dirty_seconds` what
    sending all of them takes at `link_rate` bytes a second, `changed_seconds` those of them that have changed.
    `limit_assumed` is true where QEMU's own limit is not known, and its default was taken; QEMU holds what is left
    against it at `switchover_rate` bytes a second if that was set. `counted_ratio` is how many times as long as sending
    takes QEMU takes it for. With `refuted` both predictions are withdrawn: they rest on what an earlier one rested on,
    and that did not come true.
    """

    after_round: int
    skipping: bool
    unchanged_ratio: float
    dirty_pages: int
    dirty_seconds: float
    changed_seconds: float
    link_rate: float
    downtime_limit_seconds: float
    as_is: Prediction
    with_skip: Prediction
    limit_assumed: bool = False
    switchover_rate: float | None = None
    refuted: Refutation | None = None
    counted_ratio: float = 1.0

    @property
    def in_force(self) -> Prediction:
        """The plan that the migration follows now."""
        return self.with_skip if self.skipping else self.as_is


@dataclass(frozen=True, slots=True)
class _World:
    """What is taken for granted when a plan is played: seconds a page of sending, and of hashing.

    `counting` is what QEMU takes sending for when it decides on the switchover.
    """

    dirtying: Dirtying
    changed_ratio: float
    sending: float
    hashing: float
    counting: float

    def seconds(self, skip: bool) -> float:
        """That a dirty page takes."""
        return self.sending * self.changed_ratio + self.hashing if skip else self.sending

    def counted(self, skip: bool) -> float:
        """What QEMU holds against the downtime limit for it."""
        return self.counting * self.changed_ratio + self.hashing if skip else self.counting


@dataclass(frozen=True, slots=True)
class _End:
    total_seconds: float
    downtime_seconds: float


def verdict(
    rounds: Sequence[Round],
    downtime_limit_seconds: float | None = None,
    switchover_rate: float | None = None,
    channels: int | None = None,
    compressed: bool | None = None,
) -> Forecast | None:
    """What can be said of a migration that runs; None before its second round, or where no page was classified.

    None also where pages are compressed, and a round does not tell how many bytes were sent.

    Args:
        rounds: those so far, without a switchover.
        downtime_limit_seconds: QEMU's own; None where it is not known, and QEMU's default is assumed.
        switchover_rate: bytes a second by which QEMU decides on the switchover (``avail-switchover-bandwidth``); None
            where it goes by the speed of the link, as it does unless it was set.
        channels: how many send pages, and hash them, at once; None where it is not known.
        compressed: whether multifd compresses pages; None where it is not known.
    """
    again = [r for r in rounds[-RECENT_ROUNDS:] if r.kind is Kind.ITERATIVE and _compared(r)]
    points = observed(rounds)
    link = _link(rounds)
    if not again or not points or link is None or (compressed and not link.weighed):
        return None
    limit = DOWNTIME_LIMIT_SECONDS if downtime_limit_seconds is None else downtime_limit_seconds
    last = rounds[-1]
    elapsed = last.start_seconds + last.duration_seconds
    changed = _changed(again, max(pages for _, pages in points))
    hashing = _hashing(again, channels)
    best, expected, worst = (
        _World(dirtying, ratio, link.page_bytes / rate, hashing_, WHOLE_PAGE_BYTES / (switchover_rate or rate))
        for dirtying, ratio, rate, hashing_ in (
            (steady(points), changed.low, link.fastest, hashing.low),
            (fitted(points), changed.expected, link.rate, hashing.expected),
            (saturated(points), changed.high or 0, link.slowest, hashing.high or 0),
        )
    )
    # where pages may have been compressed to nobody knows what, QEMU's rate may be so low that there is no end at all
    worlds = best, expected, worst if link.weighed or compressed is False else None
    dirty = expected.dirtying(last.duration_seconds)

    def predict(skip: bool) -> Prediction:
        ends = [_play(world, last, elapsed, limit, skip) for world in worlds]
        return _prediction(
            ends, functools.cache(lambda: _least(*(_least_limit(world, last, skip) for world in worlds)))
        )

    return Forecast(
        after_round=last.round,
        skipping=last.mode is Mode.SKIP,
        unchanged_ratio=_unchanged(again),
        dirty_pages=round(dirty),
        dirty_seconds=dirty * expected.sending,
        changed_seconds=dirty * expected.changed_ratio * expected.sending,
        link_rate=link.rate,
        downtime_limit_seconds=limit,
        as_is=predict(skip=False),
        with_skip=predict(skip=True),
        limit_assumed=downtime_limit_seconds is None,
        switchover_rate=switchover_rate,
        counted_ratio=expected.counting / expected.sending,
    )


def _play(world: _World | None, last: Round, elapsed: float, limit: float, skip: bool) -> _End | None:
    """The end of a plan, from the end of round `last` on; None if there is none."""
    if world is None:
        return None
    dirty = world.dirtying(last.duration_seconds)
    unaware = skip and last.mode is not Mode.SKIP  # QEMU looks for what will be skipped when a round ends in that mode
    still = 0
    for _ in range(MOST_ROUNDS):
        seconds = dirty * world.seconds(skip)
        if unaware and dirty * world.counting > limit:
            unaware = False
            elapsed, dirty = elapsed + seconds, world.dirtying(seconds)
            continue
        if dirty * world.counted(skip) <= limit:
            return _End(elapsed + seconds, seconds)
        # the round ends when what is left of it fits the limit, and is dirty still when the next one begins
        left_seconds = max(0.0, limit / world.counted(skip) * world.seconds(skip) - ITERATION_SECONDS)
        left = dirty * left_seconds / seconds
        elapsed += seconds - left_seconds
        fresh = world.dirtying(seconds - left_seconds)
        most = max(world.dirtying(math.inf), 1.0)
        before, dirty = dirty, left + fresh - min(left, most) * fresh / most
        still = still + 1 if before - dirty < STANDSTILL * before else 0
        if still == 3:
            return None
    return None


def _least_limit(world: _World | None, last: Round, skip: bool) -> float | None:
    """The least downtime limit, in seconds, from which on the plan has an end; 0 if with any, None if with none."""
    if world is None:
        return None

    def ends(limit: float) -> bool:
        return _play(world, last, 0.0, limit, skip) is not None

    most = max(world.dirtying(last.duration_seconds), world.dirtying(math.inf), 1.0)
    fails, holds = 0.0, 2 * most * (world.counting + world.hashing)
    if not ends(holds):
        return None
    # from above: a limit that fails below one that holds by luck, as rounds are whole, does not count as an end
    for number in range(1, LIMITS_TRIED + 1):
        if not ends(lower := holds / 2):
            fails = lower
            break
        holds = lower
        if number == LIMITS_TRIED:
            return 0.0
    for _ in range(LIMIT_HALVINGS):
        middle = (fails + holds) / 2
        fails, holds = (fails, middle) if ends(middle) else (middle, holds)
    return holds


def _prediction(ends: Sequence[_End | None], least: Callable[[], Estimate | None]) -> Prediction:
    best, expected, worst = ends
    certain = (best is None) == (worst is None)
    if expected is None:
        return Prediction(False, certain, None, None, least)
    best = best or expected

    def estimate(of: Callable[[_End], float]) -> Estimate:
        low, high = of(best), None if worst is None else of(worst)
        middle = of(expected)
        return Estimate(min(low, middle), middle, None if high is None else max(high, middle))

    return Prediction(
        True, certain, estimate(lambda end: end.total_seconds), estimate(lambda end: end.downtime_seconds), least
    )


def _least(best: float | None, expected: float | None, worst: float | None) -> Estimate | None:
    if expected is None:
        return None
    return Estimate(
        expected if best is None else min(best, expected), expected, None if worst is None else max(worst, expected)
    )


def _changed(rounds: Sequence[Round], working_set: float) -> Estimate:
    """The share of changed pages, by the latest rounds that together came past the whole working set once.

    What they did not come past, as QEMU leaves the end of a round to the next one, may be of either kind.
    """
    changed = compared = 0
    for r in reversed(rounds):
        changed, compared = changed + (r.changed_pages or 0), compared + _compared(r)
        if compared >= working_set:
            break
    unknown = max(0.0, working_set - compared)
    whole = compared + unknown
    others = [(r.changed_pages or 0) / _compared(r) for r in rounds if _compared(r) >= WHOLE * working_set]
    share = changed / compared
    return Estimate(min(changed / whole, *others, share), share, max((changed + unknown) / whole, *others, share))


@dataclass(frozen=True, slots=True)
class _Link:
    """Bytes a second, and the bytes that a page takes that is sent; `weighed` is whether these were seen."""

    slowest: float
    rate: float
    fastest: float
    page_bytes: float
    weighed: bool


def _link(rounds: Sequence[Round]) -> _Link | None:
    """By the rounds that sent for long enough."""
    sent = [r for r in rounds if r.duration_seconds >= TELLING_SECONDS and _sent(r) and _bytes(r)]
    if not sent:
        return None
    rates = [_bytes(r) / r.duration_seconds for r in sent]
    fastest = max(rates)
    # a round that mostly skipped, or found zero pages, did not fill the link
    filling = [rate for rate in rates if rate > fastest / 2][-RECENT_ROUNDS:]
    later = [r for r in sent if r.kind is not Kind.BULK] or sent
    page_bytes = sum(map(_bytes, later)) / sum(map(_sent, later))
    weighed = all(r.transferred_bytes is not None for r in sent)
    return _Link(min(filling), median(filling), fastest, page_bytes, weighed)


def _bytes(r: Round) -> int:
    """As QEMU counts them; where that is not seen, those of the pages."""
    if r.transferred_bytes is not None:
        return r.transferred_bytes
    return PAGE_BYTES * (r.normal_pages or 0)


def _sent(r: Round) -> int:
    return (r.visited_pages or 0) - (r.skipped_pages or 0)


def _compared(r: Round) -> int:
    return (r.changed_pages or 0) + (r.fake_pages or 0)


def _hashing(rounds: Sequence[Round], channels: int | None) -> Estimate:
    """Seconds a page: a round has the sum over the channels, which hash at once at best, and in turns at worst."""
    seen = [(r.hash_seconds, r.visited_pages) for r in rounds if r.hash_seconds and r.visited_pages]
    alone = sum(seconds for seconds, _ in seen) / sum(pages for _, pages in seen) if seen else HASH_SECONDS
    return Estimate(alone / (channels or MOST_CHANNELS), alone / (channels or 1), alone)


def _unchanged(rounds: Sequence[Round]) -> float:
    """Of what was sent again and what was saved: a page that was sent has the size of its round's others."""
    unchanged, everything = 0.0, 0.0
    for r in rounds:
        sent, saved = _bytes(r), r.saved_bytes or 0
        fake_sent = max(0, (r.fake_pages or 0) - (r.skipped_pages or 0))
        unchanged += saved + (sent * fake_sent / _sent(r) if _sent(r) else 0)
        everything += sent + saved
    return unchanged / everything if everything else 0.0

"""Why a migration does not converge, and whether skipping would help: predicted from its rounds so far.

Both plans are played forward, round by round, as QEMU's loop would: a round sends what is dirty (with skip, what of it
has changed), meanwhile the guest dirties more, and when what is left fits the downtime limit the guest is stopped. What
is uncertain (how fast the guest dirties, what share changes, how fast the link is) is played at its best and its worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from .dirtying import Dirtying, fitted, observed, saturated, steady
from .round import Round
from .words import Kind, Mode

DOWNTIME_LIMIT_SECONDS = 0.3  # QEMU's default, where nobody has said another
RECENT_ROUNDS = 8  # are looked at: what a guest writes changes
TELLING_SECONDS = 0.05  # a shorter round says nothing of the link: its pages may still wait in a buffer
HASH_SECONDS = 0.5e-6  # a page, where it was not seen: copying and XXH3 of 4 KiB from memory
PAGE_BYTES = 4096 + 8  # of a page on the wire, where bytes were not seen
WHOLE = 0.8  # of the working set: a round that came past so much of it has a share of its own
MOST_ROUNDS = 1000
ITERATION_SECONDS = 0.05  # QEMU sends for so long between two looks at what is left (MAX_WAIT in migration/ram.c)
STANDSTILL = 0.01  # of the pages: less than that a round is no way to an end


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a migration after `after_round` rounds.

    `unchanged_ratio` is the share of fake pages in the bytes that were, or without skip would have been, sent again.
    `dirty_pages` are those expected to be dirty when the next round of the present length begins, `dirty_seconds` what
    sending all of them takes at `link_rate` bytes a second, `changed_seconds` those of them that have changed.
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


@dataclass(frozen=True, slots=True)
class _World:
    """What is taken for granted when a plan is played: `seconds_per_page` of sending, and of hashing."""

    dirtying: Dirtying
    changed_ratio: float
    sending: float
    hashing: float


@dataclass(frozen=True, slots=True)
class _End:
    total_seconds: float
    downtime_seconds: float


def verdict(rounds: Sequence[Round], downtime_limit_seconds: float = DOWNTIME_LIMIT_SECONDS) -> Verdict | None:
    """What can be said of a migration that runs; None before its second round, or where no page was classified."""
    again = [r for r in rounds[-RECENT_ROUNDS:] if r.kind is Kind.ITERATIVE and _compared(r)]
    points = observed(rounds)
    link = _link(rounds)
    if not again or not points or link is None:
        return None
    last = rounds[-1]
    elapsed = last.start_seconds + last.duration_seconds
    changed = _changed(again, max(pages for _, pages in points))
    hashing = _hashing(again)
    worlds = (
        _World(steady(points), changed.low, link.page_bytes / link.fastest, hashing),
        _World(fitted(points), changed.expected, link.page_bytes / link.rate, hashing),
        _World(saturated(points), changed.high or 0, link.page_bytes / link.slowest, hashing),
    )
    expected = worlds[1]
    dirty = expected.dirtying(last.duration_seconds)

    def predict(skip: bool) -> Prediction:
        return _prediction([_play(world, last, elapsed, downtime_limit_seconds, skip) for world in worlds])

    return Verdict(
        after_round=last.round,
        skipping=last.mode is Mode.SKIP,
        unchanged_ratio=_unchanged(again),
        dirty_pages=round(dirty),
        dirty_seconds=dirty * expected.sending,
        changed_seconds=dirty * expected.changed_ratio * expected.sending,
        link_rate=link.rate,
        downtime_limit_seconds=downtime_limit_seconds,
        as_is=predict(skip=False),
        with_skip=predict(skip=True),
    )


def _play(world: _World, last: Round, elapsed: float, limit: float, skip: bool) -> _End | None:
    """The end of a plan, from the end of round `last` on; None if there is none."""
    dirty = world.dirtying(last.duration_seconds)
    unaware = skip and last.mode is not Mode.SKIP  # QEMU looks for what will be skipped when a round ends in that mode
    still = 0
    for _ in range(MOST_ROUNDS):
        seconds = dirty * (world.sending * world.changed_ratio + world.hashing if skip else world.sending)
        if unaware and dirty * world.sending > limit:
            unaware = False
            elapsed, dirty = elapsed + seconds, world.dirtying(seconds)
            continue
        if seconds <= limit:
            return _End(elapsed + seconds, seconds)
        # the round ends when what is left of it fits the limit, and is dirty still when the next one begins
        left_seconds = max(0.0, limit - ITERATION_SECONDS)
        left = dirty * left_seconds / seconds
        elapsed += seconds - left_seconds
        fresh = world.dirtying(seconds - left_seconds)
        most = max(world.dirtying(math.inf), 1.0)
        before, dirty = dirty, left + fresh - min(left, most) * fresh / most
        still = still + 1 if before - dirty < STANDSTILL * before else 0
        if still == 3:
            return None
    return None


def _prediction(ends: Sequence[_End | None]) -> Prediction:
    best, expected, worst = ends
    certain = (best is None) == (worst is None)
    if expected is None:
        return Prediction(False, certain, None, None)
    best = best or expected

    def estimate(of: Callable[[_End], float]) -> Estimate:
        low, high = of(best), None if worst is None else of(worst)
        middle = of(expected)
        return Estimate(min(low, middle), middle, None if high is None else max(high, middle))

    return Prediction(
        True, certain, estimate(lambda end: end.total_seconds), estimate(lambda end: end.downtime_seconds)
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
    """Bytes a second, and the bytes that a page takes that is sent."""

    slowest: float
    rate: float
    fastest: float
    page_bytes: float


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
    return _Link(min(filling), median(filling), fastest, sum(map(_bytes, later)) / sum(map(_sent, later)))


def _bytes(r: Round) -> int:
    """As QEMU counts them; where that is not seen, those of the pages."""
    if r.transferred_bytes is not None:
        return r.transferred_bytes
    return PAGE_BYTES * (r.normal_pages or 0)


def _sent(r: Round) -> int:
    return (r.visited_pages or 0) - (r.skipped_pages or 0)


def _compared(r: Round) -> int:
    return (r.changed_pages or 0) + (r.fake_pages or 0)


def _hashing(rounds: Sequence[Round]) -> float:
    """Seconds a page."""
    seen = [(r.hash_seconds, r.visited_pages) for r in rounds if r.hash_seconds and r.visited_pages]
    return sum(seconds for seconds, _ in seen) / sum(pages for _, pages in seen) if seen else HASH_SECONDS


def _unchanged(rounds: Sequence[Round]) -> float:
    """Of what was sent again and what was saved: a page that was sent has the size of its round's others."""
    unchanged, everything = 0.0, 0.0
    for r in rounds:
        sent, saved = _bytes(r), r.saved_bytes or 0
        fake_sent = max(0, (r.fake_pages or 0) - (r.skipped_pages or 0))
        unchanged += saved + (sent * fake_sent / _sent(r) if _sent(r) else 0)
        everything += sent + saved
    return unchanged / everything if everything else 0.0

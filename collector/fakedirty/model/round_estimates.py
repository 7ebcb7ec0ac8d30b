"""Estimates from the rounds so far: the rate of the link, the share of changed pages, the time of a hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .enums import Kind
from .forecast import Estimate
from .round import Round

RECENT_ROUNDS = 8  # few, because a guest may begin to write other pages
LONG_ENOUGH_SECONDS = 0.05  # in a shorter round many of the pages sent may still be in a buffer, not on the link
HASH_SECONDS = 0.5e-6  # a page, where it was not measured: copying and XXH3 of 4 KiB from memory
WHOLE_PAGE_BYTES = 4096  # of a page in QEMU's decision
PAGE_BYTES = WHOLE_PAGE_BYTES + 8  # of a page on the link, where the bytes of rounds are not seen
MOST_CHANNELS = 255  # that QEMU allows for multifd


@dataclass(frozen=True, slots=True)
class Link:
    """The link, as the rounds show it.

    Attributes:
        slowest: bytes a second.
        rate: bytes a second, the median.
        fastest: bytes a second.
        page_bytes: bytes that a sent page takes on the link.
        weighed: `page_bytes` was measured; False where it was assumed for any round.
    """

    slowest: float
    rate: float
    fastest: float
    page_bytes: float
    weighed: bool


def link_of(rounds: Sequence[Round]) -> Link | None:
    """The link, by the rounds that were long enough and sent pages; None if there is none."""
    sent = [r for r in rounds if r.duration_seconds >= LONG_ENOUGH_SECONDS and sent_pages(r) and sent_bytes(r)]
    if not sent:
        return None
    rates = [sent_bytes(r) / r.duration_seconds for r in sent]
    fastest = max(rates)
    # a round that mostly skipped, or found zero pages, did not fill the link
    filling = [rate for rate in rates if rate > fastest / 2][-RECENT_ROUNDS:]
    later = [r for r in sent if r.kind is not Kind.BULK] or sent
    page_bytes = sum(map(sent_bytes, later)) / sum(map(sent_pages, later))
    weighed = all(r.transferred_bytes is not None for r in sent)
    return Link(min(filling), median(filling), fastest, page_bytes, weighed)


def changed_ratio(rounds: Sequence[Round], working_set: float) -> Estimate:
    """The share of changed pages among the dirty ones, from 0 to 1.

    QEMU leaves the end of a round to the next one, which goes on there. So rounds in a row pass the working set again
    and again, and only whole passes show the share: a round may have met all changed pages of its pass, or none. Of a
    round in which a pass ends, the pages before that are expected to have the share of the round. Before the end of
    the first pass the pages that are missing are all unchanged in the best case, and all changed in the worst.

    Args:
        rounds: recent rounds, each of which compared at least one page.
        working_set: pages.
    """
    passes = [*_passes(rounds, working_set)]
    if whole := [each for each in passes if each.missing <= 0]:
        low, high = min(each.low for each in whole), max(each.high for each in whole)
        return Estimate(
            low / working_set, sum(each.changed for each in whole) / len(whole) / working_set, high / working_set
        )
    [only] = passes
    share = only.changed / (working_set - only.missing)
    return Estimate(only.low / working_set, share, (only.high + only.missing) / working_set)


@dataclass(slots=True)
class _Pass:
    """The changed pages of one pass of the working set: expected, at least and at most; and the pages it lacks."""

    missing: float
    changed: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def take(self, pages: float, changed: float, compared: float) -> None:
        """Take in `pages` of a round that compared `compared` of which `changed` had changed."""
        self.missing -= pages
        self.changed += changed * pages / compared
        self.low += max(0.0, changed - (compared - pages))
        self.high += min(changed, pages)


def _passes(rounds: Sequence[Round], working_set: float) -> Iterator[_Pass]:
    """The passes of the working set in rounds, the latest first; the last one may lack pages."""
    current = _Pass(working_set)
    for r in reversed(rounds):
        changed, compared = r.changed_pages or 0, compared_pages(r)
        left = float(compared)
        while left >= current.missing:
            left -= current.missing
            current.take(current.missing, changed, compared)
            yield current
            current = _Pass(working_set)
        if left:
            current.take(left, changed, compared)
    if current.missing < working_set:
        yield current


def page_hashing(rounds: Sequence[Round], channels: int | None) -> Estimate:
    """Seconds that copying and hashing a page takes.

    A round has the sum over all channels. They hash at the same time in the best case, one after the other in the
    worst.

    Args:
        rounds: recent rounds.
        channels: channels that hash, 1 without multifd; None if not known.
    """
    seen = [(r.hash_seconds, r.visited_pages) for r in rounds if r.hash_seconds and r.visited_pages]
    alone = sum(seconds for seconds, _ in seen) / sum(pages for _, pages in seen) if seen else HASH_SECONDS
    return Estimate(alone / (channels or MOST_CHANNELS), alone / (channels or 1), alone)


def unchanged_ratio(rounds: Sequence[Round]) -> float:
    """The share of fake pages in the bytes that were sent or saved, from 0 to 1.

    Every page that was sent is taken to have the average size of its round.
    """
    unchanged, everything = 0.0, 0.0
    for r in rounds:
        sent, saved = sent_bytes(r), r.saved_bytes or 0
        fake_sent = max(0, (r.fake_pages or 0) - (r.skipped_pages or 0))
        unchanged += saved + (sent * fake_sent / sent_pages(r) if sent_pages(r) else 0)
        everything += sent + saved
    return unchanged / everything if everything else 0.0


def sent_bytes(r: Round) -> int:
    """Bytes that were sent, as QEMU counts them; those of the normal pages where QEMU's count is not seen."""
    if r.transferred_bytes is not None:
        return r.transferred_bytes
    return PAGE_BYTES * (r.normal_pages or 0)


def sent_pages(r: Round) -> int:
    """Pages that were visited and not skipped."""
    return (r.visited_pages or 0) - (r.skipped_pages or 0)


def compared_pages(r: Round) -> int:
    """Pages that were compared with what was sent of them last."""
    return (r.changed_pages or 0) + (r.fake_pages or 0)

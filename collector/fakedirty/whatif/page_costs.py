"""What a page costs on the link and in QEMU's decision, as the rounds of a recording show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fakedirty.errors import RecordError
from fakedirty.model.forecast import Estimate
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.round_estimates import PAGE_BYTES, WHOLE_PAGE_BYTES, Link, link_of, page_hashing, sent_pages

HEADER_BYTES = 8  # of a page on the link
ZERO_BYTES = HEADER_BYTES + 1
DELTA_BYTES = HEADER_BYTES + 3  # of an XBZRLE page at least: its header has the kind and the length, too


@dataclass(frozen=True, slots=True)
class PageCosts:
    """What pages cost.

    Attributes:
        rate: bytes a second that the link carried: slowest, median and fastest round.
        page_bytes: of a normal page on the link.
        weighed: `page_bytes` was measured.
        delta_bytes: of a changed page that XBZRLE has in its cache; its mean is `expected` where the recorded
            migration had such pages, and a whole page where not.
        deltas_weighed: that mean was measured.
        zero_seconds: a zero page takes beside its bytes.
        hash_seconds: a page takes to be copied and hashed.
        counted_bytes: of a page in QEMU's decision on the switchover.
    """

    rate: Estimate
    page_bytes: float
    weighed: bool
    delta_bytes: Estimate
    deltas_weighed: bool
    zero_seconds: float
    hash_seconds: Estimate
    counted_bytes: float


def costs_of(migration: Migration) -> PageCosts:
    """The costs that the rounds of a migration show.

    Raises:
        RecordError: they show no rate of the link, or pages were compressed to a size that was not seen.
    """
    rounds = [r for r in migration.rounds if r.valid]
    link = link_of(_plain(rounds)) or link_of(rounds)
    if link is None:
        raise RecordError("no round was long enough to show the rate of the link")
    if migration.compressed and not link.weighed:
        raise RecordError("multifd compressed pages, and their bytes were not seen: record at level patched")
    page_bytes = _page_bytes(rounds, link)
    delta = _delta_bytes(rounds, page_bytes)
    return PageCosts(
        Estimate(link.slowest, link.rate, link.fastest),
        page_bytes,
        link.weighed,
        Estimate(DELTA_BYTES, page_bytes, page_bytes) if delta is None else Estimate(delta, delta, delta),
        delta is not None,
        _zero_seconds(rounds[0], link.rate, page_bytes),
        page_hashing(rounds, migration.channels),
        float(migration.reported("ram", "page-size") or WHOLE_PAGE_BYTES),
    )


def _plain(rounds: Sequence[Round]) -> list[Round]:
    """The rounds in which the link alone took time: all dirty pages were sent, and hardly any was zero."""
    return [
        r
        for r in rounds
        if not r.skipped_pages
        and not r.xbzrle_pages
        and not r.unchanged_pages
        and 10 * (r.zero_pages or 0) < sent_pages(r)
    ]


def _page_bytes(rounds: Sequence[Round], link: Link) -> float:
    """Of a normal page: in the rounds that sent normal and zero pages alone."""
    plain = [r for r in rounds if r.transferred_bytes is not None and r.normal_pages and not r.xbzrle_pages]
    again = [r for r in plain if r is not rounds[0]] or plain
    if not link.weighed or not again:
        return float(PAGE_BYTES)
    bytes_ = sum((r.transferred_bytes or 0) - ZERO_BYTES * (r.zero_pages or 0) for r in again)
    return max(float(ZERO_BYTES), bytes_ / sum(r.normal_pages or 0 for r in again))


def _delta_bytes(rounds: Sequence[Round], page_bytes: float) -> float | None:
    """The mean of the XBZRLE pages; None where there were none, or their bytes were not seen."""
    seen = [r for r in rounds if r.xbzrle_pages and r.normal_pages is not None and r.transferred_bytes is not None]
    if not seen:
        return None
    others = sum(page_bytes * (r.normal_pages or 0) + ZERO_BYTES * (r.zero_pages or 0) for r in seen)
    deltas = sum(r.transferred_bytes or 0 for r in seen) - others
    return min(page_bytes, max(float(DELTA_BYTES), deltas / sum(r.xbzrle_pages or 0 for r in seen)))


def _zero_seconds(bulk: Round, rate: float, page_bytes: float) -> float:
    """What the bulk round took beside its bytes, for each of its zero pages."""
    if not bulk.zero_pages or bulk.normal_pages is None:
        return 0.0
    on_link = (bulk.normal_pages * page_bytes + bulk.zero_pages * ZERO_BYTES) / rate
    return max(0.0, bulk.duration_seconds - on_link) / bulk.zero_pages

"""What a prediction assumes, one sentence for each assumption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fakedirty.model.migration import Migration

from .guest_pages import GuestPages
from .page_costs import PageCosts
from .page_history import PageHistory
from .variants import Variant


def pages_assumed(migration: Migration, history: PageHistory, guest: GuestPages) -> Iterator[str]:
    """What is assumed of the guest's pages."""
    yield (
        f"{guest.intervals} intervals show which of {guest.pages:,} pages were written: {guest.never_written:,} "
        f"in none, {guest.always_written:,} in all, so that nothing bounds the rate of these from above"
    )
    if flaws := [visits.flaw for visits in history.rounds if visits.flaw]:
        yield f"{len(flaws)} rounds show nothing: {'; '.join(flaws)}"
    if len(history.rounds) < len(migration.rounds):
        yield f"of {len(migration.rounds)} rounds, the first and the latest {len(history.rounds) - 1} were read"
    if guest.weight > 1:
        yield f"pages were sampled: each page on record stands for {guest.weight:.0f}"
    yield "the guest writes its pages independently of each other, and goes on as in the recording"


def settings_assumed(migration: Migration, costs: PageCosts, played: Sequence[Variant]) -> Iterator[str]:
    """What is assumed of the link, of QEMU and of the settings that are played."""
    if migration.downtime_limit_ms is None:
        yield "the downtime limit was not recorded: QEMU's default of 300 ms"
    encoded = any(r.xbzrle_pages or r.unchanged_pages for r in migration.rounds)
    if encoded and migration.reported("xbzrle-cache", "cache-size") is None:
        yield "the recorded migration used XBZRLE, and the size of its cache was not recorded: it is played without"
    rate = costs.rate
    span = f" ({rate.low / 1e6:.1f} to {rate.high / 1e6:.1f})" if rate.high else ""
    yield f"where no bandwidth is given, the link carries {rate.expected / 1e6:.1f} MB/s, as it did{span}"
    if any(each.bandwidth for each in played):
        yield (
            "a bandwidth that is given is bytes of QEMU's stream, and varies as that of the recorded link did; "
            "source and destination keep up with it"
        )
    if not costs.weighed:
        yield f"the bytes of rounds were not seen: a page takes {costs.page_bytes:.0f} bytes"
    if any(any(each.skips) for each in played) and not any(r.hash_seconds for r in migration.rounds):
        yield "the time of a hash was not measured: 0.5 µs for a page"
    if any(each.xbzrle_cache for each in played):
        yield (
            f"a delta of XBZRLE takes {costs.delta_bytes.expected:.0f} bytes, as in the recording"
            if costs.deltas_weighed
            else "the sizes of XBZRLE's deltas are not on record: a whole page is expected, and a header at best"
        )
        yield "a comparison with the cache of XBZRLE takes as long as a hash, and no time at best"
    if any(each.throttle for each in played):
        yield "a throttled guest writes less by the share of its time that it is kept from running, from the start"

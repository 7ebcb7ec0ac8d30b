"""What pages cost, by rounds made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.errors import RecordError, UsageError
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.whatif.page_costs import costs_of
from fakedirty.whatif.variants import Choices, Variant, variants

BULK = Round(
    1, Kind.BULK, Mode.OFF, None, 0.0, 2.0, visited_pages=3000, normal_pages=1000, zero_pages=2000, xbzrle_pages=0,
    unchanged_pages=0, skipped_pages=0, transferred_bytes=1_018_000,
)  # fmt: skip
AGAIN = replace(
    BULK, round=2, kind=Kind.ITERATIVE, start_seconds=2.0, duration_seconds=1.0, visited_pages=1000, normal_pages=1000,
    zero_pages=0, transferred_bytes=1_000_000,
)  # fmt: skip


def migration(*rounds: Round, compressed: bool | None = None) -> Migration:
    made = Migration("vm", Level.PATCHED, "m", 0)
    made.rounds.extend(rounds)
    made.compressed = compressed
    return made


def test_bytes_rate_and_zero_pages() -> None:
    """Round 2: 1,000 pages of 1,000 bytes in a second. The bulk round took 2 s, 1.018 s of it for its bytes."""
    found = costs_of(migration(BULK, AGAIN))
    assert (found.rate.low, found.rate.expected, found.rate.high) == (1e6, 1e6, 1e6)
    assert (found.page_bytes, found.weighed) == (1000.0, True)
    assert found.zero_seconds == pytest.approx((2.0 - 1.018) / 2000)
    assert (found.delta_bytes.low, found.delta_bytes.expected, found.deltas_weighed) == (11, 1000.0, False)


def test_deltas_are_weighed_where_there_were_some() -> None:
    """100 normal pages are 100,000 bytes, and 900 deltas the other 90,000."""
    deltas = replace(AGAIN, round=3, normal_pages=100, xbzrle_pages=900, transferred_bytes=190_000)
    found = costs_of(migration(BULK, AGAIN, deltas))
    assert (found.delta_bytes.expected, found.deltas_weighed) == (pytest.approx(100.0), True)


def test_what_is_not_seen_is_assumed_or_refused() -> None:
    unseen = [replace(each, transferred_bytes=None) for each in (BULK, AGAIN)]
    found = costs_of(migration(*unseen))
    assert (found.page_bytes, found.weighed) == (4104.0, False)
    with pytest.raises(RecordError, match="compressed"):
        costs_of(migration(*unseen, compressed=True))
    with pytest.raises(RecordError, match="rate of the link"):
        costs_of(migration(replace(BULK, duration_seconds=0.01)))


def test_variants_are_the_combinations_of_what_is_given() -> None:
    recorded = Variant(0.3, (False, True))
    assert variants(recorded, Choices()) == []
    found = variants(recorded, Choices(bandwidths=[1e6, 2e6], modes=[True, False]))
    assert [(each.bandwidth, each.skips, each.limit_seconds) for each in found] == [
        (1e6, (True,), 0.3), (1e6, (False,), 0.3), (2e6, (True,), 0.3), (2e6, (False,), 0.3),
    ]  # fmt: skip
    assert {each.given for each in found} == {("bandwidth", "skips")}
    assert [each.skips for each in variants(recorded, Choices(limits=[1.0]))] == [(False, True)]
    assert [recorded.skipping(number) for number in (1, 2, 9)] == [False, True, True]
    with pytest.raises(UsageError, match="121 combinations"):
        variants(recorded, Choices(bandwidths=[*range(1, 12)], limits=[*range(1, 12)]))

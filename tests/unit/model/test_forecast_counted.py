"""QEMU compares whole pages with the downtime limit, whatever their size on the link; channels hash at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.format.sentences import in_words
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.events import LimitsRead, RoundEnded
from fakedirty.model.forecast import Forecast
from fakedirty.model.prediction import predict
from fakedirty.model.round import Round
from fakedirty.web.ui.documents import _no_verdict
from made_migrations import SECOND, START, made
from played_guests import Guest, played

RATE = 50_000_000  # bytes a second on the wire
ZSTD = 1_410  # bytes of a page of text on the wire: 4,104 by a ratio of 2.91


def skipping(number: int) -> Round:
    """Of `text 8k/8k` in docs/results/compression.md with skip and zstd: 125 rounds in 25 s are 0.2 s each.

    In 0.2 s go 10 MB: 7,092 changed pages of 1,410 bytes, and as many fake ones are skipped. 1,816 of 16,000 are left.
    """
    start = 2.745 + 0.2 * (number - 2)
    return Round(
        *(number, Kind.ITERATIVE, Mode.SKIP, "xxh3-64", start, 0.2),
        dirty_pages=16_000,
        visited_pages=14_184,
        first_pages=0,
        changed_pages=7_092,
        fake_pages=7_092,
        zero_pages=0,
        normal_pages=7_092,
        skipped_pages=7_092,
        left_pages=1_816,
        transferred_bytes=7_092 * ZSTD,
        saved_bytes=7_092 * ZSTD,
        hash_seconds=14_184 * 0.5e-6,
    )


BULK = Round(
    *(1, Kind.BULK, Mode.SKIP, "xxh3-64", 0.0, 2.745),
    dirty_pages=131_072,
    visited_pages=131_072,
    first_pages=131_072,
    changed_pages=0,
    fake_pages=0,
    normal_pages=97_340,
    zero_pages=33_732,
    skipped_pages=0,
    left_pages=0,
    transferred_bytes=137_250_000,
    saved_bytes=0,
)
TEXT_8K = [BULK, *(skipping(number) for number in (2, 3, 4))]


def judged(rounds: list[Round], limit: float = 0.3, channels: int | None = 1, compressed: bool = True) -> Forecast:
    found = predict(rounds, limit, None, channels, compressed)
    assert found
    return found


def test_compressed_pages_that_would_fit_are_no_end() -> None:
    """The benchmark: not ended after 125 rounds, 3 of 3.

    8,000 changed pages take 8,000 * 1,410 / 50 MB/s = 226 ms on the wire, which fits 300 ms. QEMU counts
    8,000 * 4,096 / 50 MB/s = 655 ms, and hashing 16,000 pages at 0.5 us adds 8 ms to both.
    """
    found = judged(TEXT_8K)
    assert found.skipping
    assert not found.with_skip.converges
    assert found.with_skip.least_limit_seconds
    assert found.with_skip.least_limit_seconds.expected == pytest.approx(0.663, rel=0.03)
    assert found.changed_seconds == pytest.approx(0.226, rel=0.01)
    assert found.counted_ratio == pytest.approx(4_096 / 1_410, rel=0.001)
    assert "what changes in a round takes 226 ms at 50 MB/s, or 655 ms as QEMU counts" in in_words(found)


def test_the_guest_is_stopped_for_what_the_wire_takes() -> None:
    """With a limit that QEMU's count fits the downtime is a third of it: 226 ms and 8 ms of hashing."""
    found = judged(TEXT_8K, limit=0.7)
    assert found.with_skip.converges
    assert found.with_skip.downtime_seconds
    assert found.with_skip.downtime_seconds.expected == pytest.approx(0.234, rel=0.02)


def test_pages_as_they_are_take_what_qemu_counts() -> None:
    """The same pages without compression: 8,000 * 4,104 / 145.5 MB/s are 226 ms, and QEMU counts 225."""
    plain = [replace(r, transferred_bytes=(r.transferred_bytes or 0) * 4_104 // ZSTD) for r in TEXT_8K]
    found = judged(plain)
    assert found.with_skip.converges
    assert "as QEMU counts" not in in_words(found)


@pytest.mark.parametrize("rounds", [3, 4, 5])
def test_a_guest_that_is_slow_enough_ends_while_it_is_compressed(rounds: int) -> None:
    """`text 32k/32k in 3 s`, which ended 3 of 3."""
    guest = Guest(64_000, changed=0.5, sweep=3.0, rate=RATE, wire=ZSTD)
    _, total = played(guest, 100, skip_after=1)
    assert total
    done, _ = played(guest, rounds, skip_after=1)
    found = predict(done, guest.limit)
    assert found
    assert found.with_skip.total_seconds
    assert found.with_skip.total_seconds.expected == pytest.approx(total, rel=0.1)


def test_xbzrle_that_sends_little_is_no_end_either() -> None:
    """20,000 deltas of 205 bytes are 33 ms at 125 MB/s, and 20,000 * 4,096 bytes 655 ms."""
    guest = Guest(20_000, changed=1.0, sweep=1e-9, rate=125e6, wire=205)
    done, total = played(guest, 40)
    assert total is None
    found = predict(done[:4], guest.limit)
    assert found
    assert not found.as_is.converges
    assert found.as_is.least_limit_seconds
    assert found.as_is.least_limit_seconds.expected == pytest.approx(0.655, rel=0.03)
    assert "take 33 ms at 125 MB/s, or 655 ms as QEMU counts" in in_words(found)


def test_a_rate_that_was_given_counts_whole_pages_too() -> None:
    """8,000 * 4,096 bytes are 328 ms at 100 MB/s, and 218 ms at 150 MB/s: it ends, and takes what 50 MB/s take."""
    found, slower = (predict(TEXT_8K, 0.3, rate, 1, True) for rate in (150e6, 100e6))
    assert slower
    assert not slower.with_skip.converges
    assert found
    assert found.with_skip.converges
    assert found.with_skip.downtime_seconds
    assert found.with_skip.downtime_seconds.expected == pytest.approx(0.234, rel=0.02)


SMALL = Guest(6_000, changed=0.9, limit=0.02)  # 197 ms of sending, and so an end with a limit of 300 ms
UNWEIGHED = [replace(r, transferred_bytes=None, mode=None) for r in played(SMALL, 4)[0]]  # as level stock sees it


def test_where_bytes_are_not_seen_only_pages_as_they_are_make_it_certain() -> None:
    plain, unknown = (predict(UNWEIGHED, 0.3, None, None, compressed) for compressed in (False, None))
    assert plain
    assert plain.as_is.converges
    assert plain.as_is.certain
    assert unknown
    assert unknown.as_is.converges
    assert not unknown.as_is.certain
    assert "probably converges" in in_words(unknown)
    assert plain.as_is.least_limit_seconds
    assert unknown.as_is.least_limit_seconds
    assert plain.as_is.least_limit_seconds.high is not None
    assert plain.as_is.least_limit_seconds.high >= plain.as_is.least_limit_seconds.expected
    assert unknown.as_is.least_limit_seconds.high is None


def test_where_bytes_of_compressed_pages_are_not_seen_there_is_no_forecast() -> None:
    assert predict(UNWEIGHED, 0.3, None, 2, True) is None
    migration = made()
    migration.apply(LimitsRead(START, 300, None, 2, True))
    for each in UNWEIGHED:
        migration.apply(RoundEnded(START + round(each.start_seconds * SECOND), each))
    assert migration.forecast is None
    assert "compressed" in _no_verdict(migration)


def test_channels_hash_at_once() -> None:
    """100,000 pages, all fake, 40 us of hashing each in the sum: 4 s, or 1 s in each of four channels."""
    guest = Guest(100_000, changed=0.0, sweep=1e-9, rate=1.25e9, limit=5.0, hashing=40e-6)
    done = [replace(r, left_pages=0) for r in played(guest, 3, skip_after=1)[0]]
    downtimes = []
    for channels in (1, 4, None):
        found = predict(done, guest.limit, None, channels, False)
        assert found
        assert found.with_skip.downtime_seconds
        downtimes.append(found.with_skip.downtime_seconds)
    one, four, unknown = downtimes
    assert one.low == pytest.approx(4.0, rel=0.02)
    assert (four.low, four.expected, four.high) == (
        pytest.approx(1.0, rel=0.02),
        pytest.approx(1.0, rel=0.1),
        pytest.approx(4.0, rel=0.1),
    )
    assert unknown.low < 0.1
    assert unknown.high == one.high
    assert one.high == pytest.approx(4.0, rel=0.02), "no page has changed, so that none is sent at worst either"

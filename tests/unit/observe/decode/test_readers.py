"""From the wire to the model: every way in which a migration may begin, go on and end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import (
    Event,
    EventsLost,
    MigrationStarted,
    ModeChanged,
    RoundEnded,
    StateChanged,
)
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.bpf.stock_probes import CHUNK_PAGES, chunks
from fakedirty.observe.decode import blind_spots, wire
from fakedirty.observe.decode.interfaces import EndUnseen
from fakedirty.observe.decode.losses import LossReader
from fakedirty.observe.decode.pages import NOWHERE, PageNames
from fakedirty.observe.decode.patched import PatchedReader
from fakedirty.observe.decode.reader import page_batch, reader
from fakedirty.observe.decode.stock import StockReader
from hypothesis import given
from hypothesis import strategies as st

MAIN, THREAD = 100, 101
STATES = ("none", "setup", "cancelling", "cancelled", "active", "postcopy-active", "completed", "failed")


def head(kind: int, time_ns: int, tid: int = THREAD) -> wire.EventHeader:
    return wire.EventHeader(time_ns, kind, tid=tid)


def state(name: str, time_ns: int, tid: int = THREAD) -> wire.StateEvent:
    return wire.StateEvent(head(wire.EVENT_STATE, time_ns, tid), name.encode())


def patched_round(number: int, time_ns: int, **fields: int) -> wire.RoundEvent:
    given = {"kind": int(Kind.ITERATIVE), "mode": int(Mode.SKIP), "flags": wire.ROUND_CLASSIFIED, **fields}
    record = wire.RoundRecord(migration_start_ns=10, start_ns=time_ns - 5, end_ns=time_ns, round=number, **given)
    return wire.RoundEvent(head(wire.EVENT_ROUND, time_ns), record, wire.PageCounts())


def patched(*events: wire.Wire) -> list[Event]:
    reader = PatchedReader(MAIN)
    return [event for given in events for event in reader.take(given)]


def stock(kind: int, time_ns: int, number: int = 0, **fields: Any) -> wire.StockEvent:
    counts = {name: fields.pop(name) for name in list(fields) if hasattr(wire.StockCounts, name)}
    return wire.StockEvent(head(kind, time_ns), wire.StockCounts(round=number, start_ns=1, **counts), **fields)


def stock_state(name: str, time_ns: int, number: int = 0, **counts: int) -> wire.StockEvent:
    return stock(wire.EVENT_STOCK_STATE, time_ns, number, state=STATES.index(name), **counts)


def stocked(*events: wire.StockEvent, **options: bool) -> list[Event]:
    reader = StockReader(STATES, **{"sees_xbzrle": True, "can_skip": False, **options})
    return [event for given in events for event in reader.take(given)]


def test_patched_from_setup_to_end() -> None:
    mode = wire.ModeEvent(head(wire.EVENT_MODE, 3), 0, 0, b"off", b"skip", b"xxh3-64")
    events = patched(
        state("setup", 1, MAIN), mode, state("active", 4), patched_round(1, 20, visited_pages=3), state("completed", 30)
    )
    assert [type(event) for event in events] == [MigrationStarted, ModeChanged, StateChanged, RoundEnded, StateChanged]
    assert events[0] == MigrationStarted(1, partial=False)
    assert events[1] == ModeChanged(3, 0, Mode.OFF, Mode.SKIP, "xxh3-64")
    ended = events[3]
    assert isinstance(ended, RoundEnded)
    assert ended.seen["visited_pages"] == 0  # the kernel saw none of QEMU's three
    assert (ended.round.mode, ended.round.hash, ended.round.start_seconds) == (Mode.SKIP, "xxh3-64", 5e-9)


def test_a_mode_that_is_adopted_in_the_setup_is_of_no_round() -> None:
    """QEMU still has the number of the last round of the migration before."""
    mode = wire.ModeEvent(head(wire.EVENT_MODE, 3), 4, 0, b"off", b"skip", b"xxh3-64")
    toggled = wire.ModeEvent(head(wire.EVENT_MODE, 9), 1, 0, b"skip", b"off", b"xxh3-64")
    events = patched(state("setup", 1, MAIN), mode, state("active", 4), toggled)
    assert [event.round for event in events if isinstance(event, ModeChanged)] == [0, 1]
    late = patched(mode)
    assert [event.round for event in late if isinstance(event, ModeChanged)] == [4]


def test_patched_takes_an_incoming_migration_for_none_of_its_own() -> None:
    incoming = [state(name, number, MAIN) for number, name in enumerate(("setup", "active", "completed"))]
    assert patched(*incoming) == []
    late = patched(*incoming, patched_round(4, 20))
    assert late[0] == MigrationStarted(20, partial=True)


def test_patched_in_the_middle() -> None:
    events = patched(patched_round(4, 20), patched_round(5, 30))
    assert events[0] == MigrationStarted(20, partial=True)
    first, second = events[1:]
    assert isinstance(first, RoundEnded)
    assert isinstance(second, RoundEnded)
    assert "middle" in first.flaw
    assert not first.seen
    assert not second.flaw
    assert second.seen


def test_patched_one_after_the_other() -> None:
    once = [state("setup", 1, MAIN), state("active", 2), patched_round(1, 3), state("cancelled", 4, MAIN)]
    events = patched(*once, *once)
    assert [event for event in events if isinstance(event, MigrationStarted)] == [MigrationStarted(1)] * 2


def test_patched_unclassified_rounds_have_no_classes() -> None:
    off = patched_round(1, 20, flags=0, mode=int(Mode.OFF), visited_pages=3, normal_pages=3)
    ended = patched(off)[1]
    assert isinstance(ended, RoundEnded)
    assert (ended.round.fake_pages, ended.round.normal_pages, ended.round.hash) == (None, 3, None)


def test_batches_carry_their_records() -> None:
    records = np.array([(1, 2), (3, 4)], wire.PAGE_RECORD)
    raw = bytes(wire.BatchEvent(head(wire.EVENT_BATCH, 9), 5, 2, b"pc.ram")) + records.tobytes() + b"junk"
    batch = page_batch(raw)
    assert (batch.block, batch.round, batch.time_ns) == ("pc.ram", 5, 9)
    assert np.array_equal(np.frombuffer(batch.records, wire.PAGE_RECORD), records)


@given(st.lists(st.lists(st.integers(0, 30), max_size=40), min_size=1, max_size=4))
def test_pages_of_a_process_are_named_by_their_blocks(batches: list[list[int]]) -> None:
    blocks = {"pc.ram": range(4, 10), "vga.vram": range(10, 12), "rom": range(20, 25)}
    names = PageNames([(name, of[0] * 4096, len(of) * 4096) for name, of in blocks.items()])

    def batch(number: int, pages: list[int]) -> PageBatch:
        records = np.array([(page, page << 16 | 0x201) for page in pages], wire.PAGE_RECORD)
        return PageBatch(7 * number, "", number, records.tobytes())

    found = []
    for part in names.named([batch(number, pages) for number, pages in enumerate(batches)]):
        assert part.time_ns == 7 * part.round
        for hash_, tag in np.frombuffer(part.records, wire.PAGE_RECORD).tolist():
            assert tag & 0xFFFF == 0x201
            found.append((part.round, hash_, part.block, tag >> 16))
    expected = {page: (NOWHERE, page) for page in range(31)}
    expected |= {page: (name, page - of[0]) for name, of in blocks.items() for page in of}
    assert found == [(number, page, *expected[page]) for number, pages in enumerate(batches) for page in pages]


def test_without_known_blocks_pages_keep_their_place() -> None:
    batch = PageBatch(7, "", 3, np.array([(1, 5 << 16)], wire.PAGE_RECORD).tobytes())
    [part] = PageNames([]).named([batch])
    assert (part.block, part.records) == (NOWHERE, batch.records)


def test_pages_that_wait_for_their_names_come_before_all_else() -> None:
    facts = {"states": STATES, "sees_xbzrle": True, "can_skip": False, "sample": 1, "blocks": []}
    trace = reader(Subject("web", Level.STOCK, "1 2", facts))
    raw = bytes(wire.BatchEvent(head(wire.EVENT_BATCH, 9), 1, 1)) + np.array([(1, 5 << 16)], wire.PAGE_RECORD).tobytes()
    for time_ns in (9, 10):
        assert not list(trace.take(TraceRecord(time_ns, Channel.PAGES, raw)))
    batches = list(trace.take(TraceRecord(11, Channel.GONE)))
    assert [(type(batch), len(batch.records)) for batch in batches] == [(PageBatch, 16)] * 2


def test_an_end_that_no_event_told_is_asked_for() -> None:
    facts = {"states": STATES, "sees_xbzrle": True, "can_skip": False, "sample": 1, "blocks": []}
    trace = reader(Subject("web", Level.STOCK, "1 2", facts))
    events = [stock(wire.EVENT_STOCK_STARTED, 1), stock(wire.EVENT_STOCK_STOPPED, 10**9, 3, normal_pages=4)]
    for event in events:
        list(trace.take(TraceRecord(event.header.time_ns, Channel.EVENT, bytes(event))))
    assert list(trace.take(TraceRecord(10**9 + 1, Channel.TICK))) == []
    assert list(trace.take(TraceRecord(2 * 10**9, Channel.TICK))) == [EndUnseen()]
    told = list(trace.take(TraceRecord(2 * 10**9, Channel.REPORT, b'{"status": "completed"}')))
    assert [type(event) for event in told] == [RoundEnded, StateChanged]
    assert list(trace.take(TraceRecord(3 * 10**9, Channel.TICK))) == []


def by_trace_events(bypassed: int, *, sees_xbzrle: bool = True) -> RoundEnded:
    reader = StockReader((), Level.USDT, sees_xbzrle=sees_xbzrle, can_skip=False)
    list(reader.take(stock(wire.EVENT_STOCK_STARTED, 1)))
    counts = {"first_pages": 5, "normal_pages": 3, "zero_pages": 2, "bypassed": bypassed}
    [ended] = reader.take(stock(wire.EVENT_STOCK_ROUND, 9, 1, **counts))
    assert isinstance(ended, RoundEnded)
    return ended


def test_usdt_classes_what_xbzrle_sends_but_does_not_tell_it_from_normal() -> None:
    assert (by_trace_events(0).round.normal_pages, by_trace_events(0).round.xbzrle_pages) == (3, 0)
    for ended in (by_trace_events(1 << blind_spots.XBZRLE), by_trace_events(0, sees_xbzrle=False)):
        assert not ended.flaw
        assert (ended.round.first_pages, ended.round.zero_pages, ended.round.visited_pages) == (5, 2, 5)
        assert (ended.round.normal_pages, ended.round.xbzrle_pages, ended.round.unchanged_pages) == (None, None, None)
    assert not by_trace_events(1 << blind_spots.MAPPED_RAM).flaw


@pytest.mark.parametrize("way", [blind_spots.MULTIFD, blind_spots.COMPRESSION, blind_spots.COPIED])
def test_usdt_is_silent_where_pages_pass_its_probes_by(way: int) -> None:
    ended = by_trace_events(1 << way)
    assert ended.flaw
    assert ended.round.fake_pages is ended.round.normal_pages is None


def test_stock_rounds_and_the_switchover() -> None:
    events = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1),
        stock_state("active", 2),
        stock(wire.EVENT_STOCK_ROUND, 10, 1, first_pages=5, normal_pages=3, zero_pages=2),
        stock(wire.EVENT_STOCK_ROUND, 20, 2, fake_pages=2, changed_pages=1, normal_pages=3),
        stock_state("completed", 30, 3, fake_pages=1, normal_pages=1),
        stock_state("none", 40, 3),
    )
    rounds = [event.round for event in events if isinstance(event, RoundEnded)]
    assert [entry.kind for entry in rounds] == [Kind.BULK, Kind.ITERATIVE, Kind.SWITCHOVER]
    assert [entry.visited_pages for entry in rounds] == [5, 3, 1]
    assert (rounds[0].dirty_pages, rounds[0].left_pages, rounds[0].transferred_bytes) == (None, None, None)
    assert (rounds[0].xbzrle_pages, rounds[0].skipped_pages, rounds[0].mode) == (0, 0, None)
    assert events[-1] == StateChanged(30, "completed")
    migration = Migration("vm", Level.STOCK, "id", 1)
    for event in events:
        migration.apply(event)
    assert migration.valid


def test_stock_cancelled_in_a_round_or_before_any() -> None:
    start = stock(wire.EVENT_STOCK_STARTED, 1)
    [_, round_, end] = stocked(start, stock_state("cancelled", 9, 2, normal_pages=1, fake_pages=1))
    assert isinstance(round_, RoundEnded)
    assert round_.round.kind is Kind.ITERATIVE
    assert end == StateChanged(9, "cancelled")
    assert len(stocked(start, stock_state("failed", 9))) == 2


def test_stock_in_the_middle_says_so_of_every_round_it_cannot_know() -> None:
    events = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1, partial=1),
        stock(wire.EVENT_STOCK_ROUND, 10, 1, first_pages=5, normal_pages=5),
        stock(wire.EVENT_STOCK_ROUND, 20, 2, first_pages=1, fake_pages=1, normal_pages=2),
        stock(wire.EVENT_STOCK_ROUND, 30, 3, fake_pages=2, normal_pages=2),
    )
    assert events[0] == MigrationStarted(1, partial=True)
    flaws = [event.flaw for event in events if isinstance(event, RoundEnded)]
    assert "middle" in flaws[0]
    assert "1 pages may have been sent" in flaws[1]
    assert not flaws[2]


def test_stock_reports_no_share_where_it_would_count_wrongly() -> None:
    start = stock(wire.EVENT_STOCK_STARTED, 1)
    blind = [
        (stock(wire.EVENT_STOCK_ROUND, 9, 2, bypassed=1), "multifd"),
        (stock(wire.EVENT_STOCK_ROUND, 9, 2, bypassed=2), "xbzrle"),
        (stock(wire.EVENT_STOCK_ROUND, 9, 2, odd_buffers=7), "7 buffers"),
        (stock(wire.EVENT_STOCK_ROUND, 9, 1), "no page"),
    ]
    for event, why in blind:
        ended = stocked(start, event)[1]
        assert isinstance(ended, RoundEnded)
        assert why in ended.flaw
        assert (ended.round.fake_pages, ended.round.normal_pages, ended.round.visited_pages) == (None, None, None)
        assert ended.round.zero_pages is None


def test_a_round_of_multifd_ends_when_it_was_closed_and_not_when_its_last_page_was_sent() -> None:
    late = {"queued_pages": 5, "channel_pages": 5, "end_ns": 7}
    events = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1), stock(wire.EVENT_STOCK_ROUND, 9, 1, first_pages=5, normal_pages=5, **late)
    )
    [ended] = [event for event in events if isinstance(event, RoundEnded)]
    assert (ended.flaw, ended.round.duration_seconds) == ("", 6e-9)
    assert (ended.round.visited_pages, ended.round.first_pages) == (5, 5)


def test_pages_that_were_queued_and_are_in_no_packet_make_a_round_blind() -> None:
    events = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1),
        stock(wire.EVENT_STOCK_ROUND, 9, 1, first_pages=4, normal_pages=4, queued_pages=5, channel_pages=4),
        stock_state("completed", 30, 2, normal_pages=1, queued_pages=0, channel_pages=1),
    )
    for ended in (event for event in events if isinstance(event, RoundEnded)):
        assert "pages were queued for multifd" in ended.flaw
        assert ended.round.visited_pages is ended.round.fake_pages is ended.round.normal_pages is None


def test_a_round_that_did_not_end_in_the_channels_is_missed() -> None:
    events = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1),
        stock(wire.EVENT_STOCK_ROUND, 9, 1, first_pages=4, normal_pages=4),
        stock(wire.EVENT_STOCK_STATE, 30, 4, state=STATES.index("failed"), end_ns=30),
    )
    last = [event for event in events if isinstance(event, RoundEnded)][-1]
    assert last.flaw.startswith("2 rounds before this one")
    started_late = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1, 1, partial=1), stock(wire.EVENT_STOCK_ROUND, 9, 1, end_ns=9)
    )
    assert "rounds before" not in str(started_late[-1])


@pytest.mark.parametrize("state_first", [True, False], ids=["as in 7.2", "as in 10.0"])
def test_stock_counts_every_round_before_postcopy_and_none_of_its_pages(state_first: bool) -> None:
    """Postcopy makes one more sync: QEMU is in its state before that, or after."""
    begins = [stock_state("postcopy-active", 5, 2), stock(wire.EVENT_STOCK_ROUND, 9, 2, normal_pages=3, fake_pages=3)]
    events = stocked(
        stock(wire.EVENT_STOCK_STARTED, 1),
        *(begins if state_first else begins[::-1]),
        stock_state("completed", 20, 3, normal_pages=7),
    )
    before, after = (event for event in events if isinstance(event, RoundEnded))
    assert (before.flaw, before.postcopy, before.round.normal_pages) == ("", False, 3)
    assert "postcopy" in after.flaw
    assert (after.postcopy, after.round.normal_pages) == (True, None)


def test_stock_ignores_what_belongs_to_no_migration() -> None:
    assert stocked(stock_state("completed", 1), stock(wire.EVENT_STOCK_ROUND, 2, 1)) == []


def test_stock_with_a_state_that_was_not_seen() -> None:
    reader = StockReader(STATES, sees_xbzrle=True, can_skip=False)
    for event in (stock(wire.EVENT_STOCK_STARTED, 1), stock(wire.EVENT_STOCK_STOPPED, 10, 2, normal_pages=1)):
        list(reader.take(event))
    assert not reader.overdue(20)
    assert reader.overdue(10**9)
    assert [type(event) for event in reader.end("completed")] == [RoundEnded, StateChanged]
    assert not reader.overdue(10**9)


def test_stock_names_states_by_name_or_number() -> None:
    start = stock(wire.EVENT_STOCK_STARTED, 1)
    assert stocked(start, stock(wire.EVENT_STOCK_STATE, 2, state=0, name=b"device"))[1] == StateChanged(2, "device")
    assert stocked(start, stock(wire.EVENT_STOCK_STATE, 2, state=99))[1] == StateChanged(2, "state-99")


def test_losses_are_told_once() -> None:
    losses = LossReader()
    assert losses.take(1, [0, 0, 0, 0, 0, 0]) == []
    assert losses.take(5, [2, 0, 1, 0, 0, 0]) == [
        EventsLost(5, 2, wire.LOST_PLACES[0]),
        EventsLost(5, 1, wire.LOST_PLACES[2]),
    ]
    assert losses.take(6, [3, 0, 1, 0, 0, 0]) == [EventsLost(6, 1, wire.LOST_PLACES[0])]


def test_losses_have_as_many_places_as_are_known() -> None:
    with pytest.raises(ValueError, match="zip"):
        LossReader().take(1, [0, 0, 0, 0, 0, 0, 9])


@pytest.mark.parametrize(
    ("route", "word"),
    [
        (blind_spots.MULTIFD, "own threads, and in this executable"),
        (blind_spots.XBZRLE, "deltas"),
        (blind_spots.COMPRESSION, "compression"),
        (blind_spots.MAPPED_RAM, "mapped-ram"),
        (blind_spots.COPIED, "choose level patched"),
    ],
)
def test_every_route_past_the_probes_of_level_stock_has_its_reason(route: int, word: str) -> None:
    ended = stocked(stock(wire.EVENT_STOCK_STARTED, 1), stock(wire.EVENT_STOCK_ROUND, 9, 2, bypassed=1 << route))[1]
    assert isinstance(ended, RoundEnded)
    assert word in ended.flaw
    assert ";" not in ended.flaw


def test_the_kernel_counts_what_qemu_counts() -> None:
    columns = ("visited", "first", "changed", "fake", "normal", "zero", "xbzrle", "unchanged", "skipped")
    counted = {f"{name}_pages": number for number, name in enumerate(columns, 1)}
    event = patched_round(1, 20)
    event.counted = wire.PageCounts(**counted)
    [_, _, ended] = patched(state("setup", 1, MAIN), state("active", 2), event)[-3:]
    assert isinstance(ended, RoundEnded)
    assert ended.seen == counted


def test_chunks_are_enough_for_several_times_the_memory_of_the_host(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        1073741824 kB\nMemFree: 1 kB\n")
    assert chunks(meminfo) * CHUNK_PAGES * 4096 > 3.99 * (1 << 40)
    meminfo.write_text("MemTotal:        4194304 kB\n")
    assert chunks(meminfo) * CHUNK_PAGES * 4096 > 1 << 38, "a guest can have more memory than its host, and not use it"

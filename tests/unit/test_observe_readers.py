"""From the wire to the model: every way in which a migration may begin, go on and end."""

from __future__ import annotations

from typing import Any

import numpy as np
from fakedirty.model.events import (
    Event,
    EventsLost,
    MigrationStarted,
    ModeChanged,
    RoundEnded,
    StateChanged,
)
from fakedirty.model.migration import Migration
from fakedirty.model.words import Kind, Level, Mode
from fakedirty.observe import wire
from fakedirty.observe.losses import Losses
from fakedirty.observe.patched_reader import PatchedReader
from fakedirty.observe.stock import chunks
from fakedirty.observe.stock_reader import StockReader

MAIN, THREAD = 100, 101
STATES = ("none", "setup", "cancelling", "cancelled", "active", "postcopy-active", "completed", "failed")


def head(kind: int, time_ns: int, tid: int = THREAD) -> wire.EventHeader:
    return wire.EventHeader(time_ns, kind, tid)


def state(name: str, time_ns: int, tid: int = THREAD) -> wire.StateEvent:
    return wire.StateEvent(head(wire.EVENT_STATE, time_ns, tid), name.encode())


def patched_round(number: int, time_ns: int, **fields: int) -> wire.RoundEvent:
    given = {"kind": int(Kind.ITERATIVE), "mode": int(Mode.SKIP), "flags": wire.ROUND_CLASSIFIED, **fields}
    record = wire.RoundRecord(migration_start_ns=10, start_ns=time_ns - 5, end_ns=time_ns, round=number, **given)
    return wire.RoundEvent(head(wire.EVENT_ROUND, time_ns), record, wire.SeenCounts())


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
    batch = PatchedReader(MAIN).batch(raw)
    assert (batch.block, batch.round, batch.time_ns) == ("pc.ram", 5, 9)
    assert np.array_equal(np.frombuffer(batch.records, wire.PAGE_RECORD), records)


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
    postcopy = stocked(start, stock_state("postcopy-active", 5, 2), stock(wire.EVENT_STOCK_ROUND, 9, 2))[2]
    assert isinstance(postcopy, RoundEnded)
    assert "postcopy" in postcopy.flaw


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
    losses = Losses()
    assert losses.since([0, 0, 0, 0], 1) == []
    assert losses.since([2, 0, 1, 0], 5) == [
        EventsLost(5, 2, wire.LOST_PLACES[0]),
        EventsLost(5, 1, wire.LOST_PLACES[2]),
    ]
    assert losses.since([3, 0, 1, 0], 6) == [EventsLost(6, 1, wire.LOST_PLACES[0])]


def test_chunks_cover_every_writable_mapping() -> None:
    maps = "00000000-00200000 rw-p 0 0:0 0\n00400000-00401000 rw-s 0 0:0 0 /x\n00600000-ffffffff r-xp 0 0:0 0\n"
    assert chunks(maps) - chunks("") == 2
    assert chunks("001ff000-00201000 rw-p 0 0:0 0\n") - chunks("") == 2

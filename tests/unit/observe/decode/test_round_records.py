"""QEMU's record of a round, as long and as old as it may be: what it has is read, and what it has not is None."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import Event, EventsLost, MigrationStarted, RoundEnded
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.decode.patched import PatchedReader
from fakedirty.observe.decode.reader import reader
from fakedirty.observe.decode.round_records import HASHES, NOT_UNDERSTOOD, RecordedRound, recorded

MAIN, THREAD = 100, 101
WHOLE = ctypes.sizeof(wire.MigrationRoundRecord)
HISTORY_ALONE, WITH_MODES = 128, 168  # bytes of a record, by what of the series QEMU has

PAGES = {
    "dirty_pages": 9,
    "forced_pages": 1,
    "visited_pages": 8,
    "first_pages": 2,
    "changed_pages": 3,
    "fake_pages": 3,
    "normal_pages": 3,
    "zero_pages": 1,
    "xbzrle_pages": 1,
    "unchanged_pages": 1,
    "skipped_pages": 2,
    "left_pages": 2,
    "hinted_pages": 4,
}
TIMES = {"migration_start_ns": 1_000, "start_ns": 2_000, "end_ns": 5_000}
SIZES = {"transferred_bytes": 4096, "saved_bytes": 8192, "hash_ns": 700, "forced_syncs": 1}


def versioned(size: int = WHOLE, record_bytes: int | None = None, **fields: int) -> wire.MigrationRoundEvent:
    """An event as the kernel hands it on: `size` is QEMU's, and so much of the record was read that is known."""
    given = {
        "version": wire.ROUND_VERSION,
        "round": 4,
        "kind": int(Kind.ITERATIVE),
        "flags": wire.ROUND_CLASSIFIED,
        "mode": int(Mode.SKIP),
        "hash": HASHES.index("sha1"),
        **TIMES,
        **PAGES,
        **SIZES,
        **fields,
    }
    record = wire.MigrationRoundRecord(size=size, **given)
    known = min(size, WHOLE) if record_bytes is None else record_bytes
    ctypes.memset(ctypes.byref(record, known), 0, WHOLE - known)
    header = wire.EventHeader(6_000, wire.EVENT_MIGRATION_ROUND, tid=THREAD)
    seen = wire.PageCounts(**{name: PAGES[name] for name, _ in wire.PageCounts._fields_})
    return wire.MigrationRoundEvent(header, record, seen, known)


def unversioned(**fields: int) -> wire.RoundEvent:
    given = {
        "round": 4,
        "kind": int(Kind.ITERATIVE),
        "flags": wire.ROUND_CLASSIFIED,
        "mode": int(Mode.SKIP),
        "hash": HASHES.index("sha1"),
        **TIMES,
        **PAGES,
        **SIZES,
        **fields,
    }
    header = wire.EventHeader(6_000, wire.EVENT_ROUND, tid=THREAD)
    seen = wire.PageCounts(**{name: PAGES[name] for name, _ in wire.PageCounts._fields_})
    return wire.RoundEvent(header, wire.RoundRecord(**given), seen)


def told(event: wire.RoundEvent | wire.MigrationRoundEvent) -> RecordedRound:
    found = recorded(event)
    assert found is not None
    return found


def test_both_forms_contain_the_same() -> None:
    old, new = told(unversioned()), told(versioned())
    assert old.round == new.round
    assert (old.migration_start_ns, new.migration_start_ns) == (1_000, 1_000)
    assert (old.exact, new.exact) == (None, True)
    counted: dict[str, Any] = {name: getattr(new.round, name) for name in PAGES}
    assert counted == PAGES
    assert (new.round.round, new.round.kind, new.round.mode, new.round.hash) == (4, Kind.ITERATIVE, Mode.SKIP, "sha1")
    assert (new.round.start_seconds, new.round.duration_seconds) == (1e-6, 3e-6)
    assert (new.round.transferred_bytes, new.round.saved_bytes, new.round.hash_seconds) == (4096, 8192, 7e-7)


def test_what_is_behind_the_known_end_is_ignored() -> None:
    assert told(versioned(size=WHOLE + 40)).round == told(versioned()).round


def test_what_a_shorter_record_has_not_is_none() -> None:
    with_modes = told(versioned(WITH_MODES)).round
    assert (with_modes.skipped_pages, with_modes.saved_bytes) == (None, None)
    assert (with_modes.fake_pages, with_modes.mode, with_modes.hash) == (3, Mode.SKIP, "sha1")
    alone = told(versioned(HISTORY_ALONE, flags=0)).round
    for column in ("first_pages", "changed_pages", "fake_pages", "skipped_pages", "saved_bytes", "mode", "hash"):
        assert getattr(alone, column) is None, column
    assert alone.hash_seconds is None
    assert (alone.visited_pages, alone.left_pages, alone.forced_syncs) == (8, 2, 1)


def test_a_record_of_a_draft_is_read_as_one_of_the_first_version() -> None:
    assert told(versioned(version=wire.ROUND_VERSION_OF_DRAFTS)) == told(versioned())


def test_no_more_is_known_than_was_read() -> None:
    assert told(versioned(WHOLE, record_bytes=WITH_MODES)).round.skipped_pages is None


def test_a_field_that_is_cut_is_not_known() -> None:
    assert told(versioned(WHOLE - 1)).round.saved_bytes is None
    assert told(versioned(WHOLE - 1)).round.skipped_pages == 2


@pytest.mark.parametrize(
    "event",
    [
        versioned(version=3),
        versioned(version=0),
        versioned(HISTORY_ALONE - 1),
        versioned(0),
        versioned(4),
        versioned(kind=7),
    ],
    ids=["newer version", "older version", "too short", "empty", "version alone", "unknown kind"],
)
def test_a_record_of_another_form_is_no_round_and_counts_as_lost(event: wire.MigrationRoundEvent) -> None:
    assert recorded(event) is None
    assert list(PatchedReader(MAIN).take(event)) == [EventsLost(6_000, 1, NOT_UNDERSTOOD)]


def test_with_the_mode_off_at_the_end_there_is_no_hash() -> None:
    off = told(versioned(mode=int(Mode.OFF), flags=0)).round
    assert (off.mode, off.hash, off.fake_pages, off.skipped_pages) == (Mode.OFF, None, None, 2)


def test_of_drafts_a_round_in_which_the_mode_was_turned_off_has_the_hash_of_its_classes() -> None:
    assert told(unversioned(mode=int(Mode.OFF))).round.hash == "sha1"
    assert told(unversioned(mode=int(Mode.OFF), flags=0)).round.hash is None


def test_codes_that_are_newer_than_this_table_are_not_known() -> None:
    assert told(versioned(hash=len(HASHES))).round.hash is None
    newer = told(versioned(mode=3)).round
    assert (newer.mode, newer.hash) == (None, "sha1")


def events(*given: wire.Wire) -> list[Event]:
    read = reader(Subject("vm", Level.PATCHED, "1 2", {"tgid": MAIN}))
    found = []
    for each in given:
        found += list(read.take(TraceRecord(each.header.time_ns, Channel.EVENT, bytes(each))))
    return [event for event in found if isinstance(event, Event)]  # type: ignore[arg-type]


def state(name: str, time_ns: int, tid: int = THREAD) -> wire.StateEvent:
    return wire.StateEvent(wire.EventHeader(time_ns, wire.EVENT_STATE, tid=tid), name.encode())


def test_a_round_from_the_ring_buffer_is_held_against_what_the_kernel_counted() -> None:
    (ended,) = [
        event
        for event in events(state("setup", 500, MAIN), state("active", 1_100), versioned())
        if isinstance(event, RoundEnded)
    ]
    assert ended.seen == {name: PAGES[name] for name, _ in wire.PageCounts._fields_}
    assert (ended.exact, ended.flaw) == (True, "")


def test_an_inexact_round_is_told_to_be() -> None:
    (ended,) = [
        event
        for event in events(state("setup", 500, MAIN), state("active", 1_100), versioned(flags=wire.ROUND_INEXACT))
        if isinstance(event, RoundEnded)
    ]
    assert (ended.exact, ended.seen, ended.round.fake_pages) == (False, {}, None)


def test_a_round_goes_to_the_migration_that_its_record_names() -> None:
    """The next migration has begun, and its first round is told before the last one of the migration before."""
    late = versioned(migration_start_ns=1_000, round=5)
    late.header.time_ns, late.header.tid = 9_000, MAIN
    first = versioned(migration_start_ns=8_000, round=1)
    first.header.time_ns = 9_500
    found = events(
        state("setup", 500, MAIN),
        state("active", 1_100),
        versioned(),
        state("failed", 7_000),
        state("setup", 7_500, MAIN),
        state("active", 8_100),
        late,
        first,
    )
    starts = [number for number, event in enumerate(found) if isinstance(event, MigrationStarted)]
    ended = [(number, event.round.round) for number, event in enumerate(found) if isinstance(event, RoundEnded)]
    assert [number for _, number in ended] == [4, 1], "what came too late for its own is nobody's"
    assert starts[0] < ended[0][0] < starts[1] < ended[1][0]

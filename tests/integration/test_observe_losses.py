"""Every kind of loss, forced: it is counted where it happens, and what it falls into is not believed."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from fakedirty.cli.commands.observe import INVALID, exit_status
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.observe.bpf.buffer_sizes import BufferSizes
from fakedirty.observe.decode.wire import LOST_PLACES
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.service.session import ObservationResult
from migrating import SLOW, Notes, Pair, observed, pair, running, wait

EVENTS, PAGES, UNREADABLE, TABLE, LATE, _BATCHES = LOST_PLACES
BINARIES = {Level.PATCHED: qemu_binary, Level.USDT: qemu_binary, Level.STOCK: stock_binary}


def migrate(vm: Pair, syncs: int, level: Level) -> None:
    mode = {"fake_dirty_mode": "observe"} if level is Level.PATCHED else {}
    vm.migrate(max_bandwidth=SLOW, downtime_limit=1, **mode)
    vm.wait_for_syncs(syncs)
    vm.converge()


def lost(migration: Migration, *where: str) -> int:
    assert set(migration.lost_events) <= set(where)
    assert not migration.valid
    assert exit_status(ObservationResult(migration.valid is True, recorded=True)) == INVALID
    told = [entry for entry in migration.rounds if entry.lost_events]
    assert told
    assert all("events lost" in entry.invalid_reason for entry in told)
    total = sum(migration.lost_events.values())
    assert sum(entry.lost_events for entry in told) == total
    return total


@pytest.mark.parametrize("level", BINARIES, ids=str)
def test_a_reader_that_stalls_loses_page_records_and_no_round(level: Level, tmp_path: Path) -> None:
    notes, stalled = Notes(), threading.Event()
    stalled.set()
    sizes = BufferSizes(page_ring=4)  # three batches in the ring buffer, and three that wait for the reader
    with (
        pair(BINARIES[level](), tmp_path) as vm,
        observed(vm.source, level, [notes], pages=True, sizes=sizes, stalled=stalled),
    ):
        migrate(vm, 2, level)
        stalled.clear()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    batches = lost(migration, PAGES, LATE)
    assert migration.lost_events[LATE]
    kept = sum(len(batch.records) // 16 for batch in notes.batches)
    visited = migration.total("visited_pages")
    assert visited is not None, "the rounds are whole"
    assert kept < visited <= kept + batches * 256


@pytest.mark.parametrize("level", [Level.USDT, Level.STOCK], ids=str)
def test_a_table_that_is_too_small_for_the_guest(level: Level, tmp_path: Path) -> None:
    notes = Notes()
    with pair(BINARIES[level](), tmp_path) as vm, observed(vm.source, level, [notes], sizes=BufferSizes(chunks=8)):
        migrate(vm, 2, level)
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert lost(migration, TABLE) > 1000
    # of no class, but sent
    bulk = migration.rounds[0]
    assert bulk.visited_pages is not None
    assert bulk.first_pages is not None
    assert bulk.first_pages < bulk.visited_pages


def test_memory_that_cannot_be_read(tmp_path: Path) -> None:
    """Of no class, in this round and the next, and told: the pages were sent all the same."""
    program, notes = tmp_path / "qemu-system-unreadable", Notes()
    source = Path(__file__).parent / "helpers" / "unreadable.c"
    subprocess.run(["gcc", "-O1", "-rdynamic", "-pthread", "-o", program, source], check=True)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"  # before, its loader may not be done with its memory
            with running(Observer(LiveTrace(by_pid(process.pid), Level.STOCK), [notes])):
                process.stdin.write(b"\n")
                process.stdin.flush()
                wait(lambda: len(notes.over) == 1)
        finally:
            process.kill()
    [migration] = notes.over
    assert lost(migration, UNREADABLE) == 2 * 16
    bulk, again = migration.rounds
    assert (bulk.visited_pages, bulk.first_pages, bulk.fake_pages) == (64, 48, 0)
    assert (again.visited_pages, again.first_pages, again.fake_pages) == (64, 0, 48)

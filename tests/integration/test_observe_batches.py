"""Level patched where many threads report pages at the same moment, played: no record is lost, repeated, or torn."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.observe.bpf.buffer_sizes import DEFAULT, BufferSizes
from fakedirty.observe.decode import wire
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.package_files import carried
from migrating import Notes, running, wait

THREADS = 8
PACKET = 16  # pages: few, for threads to meet often
FACTOR = 0x9E3779B97F4A7C15  # of played_batches.c
PACKETS = 10_000  # of each thread, in each round
ROUNDS = 2
WHOLE = BufferSizes(page_ring=1 << 15)  # all page records, however late their reader is


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("played"), THREADS)


def built(directory: Path, threads: int) -> Path:
    program = directory / "qemu-system-x86_64"
    source, header = Path(__file__).parent / "helpers" / "played_batches.c", carried("probes", "events.h")
    flags = ["-O1", "-Wall", "-Werror", "-pthread", f"-I{header.parent}", f"-DTHREADS={threads}", f"-DPACKET={PACKET}"]
    subprocess.run(["gcc", *flags, "-o", program, source], check=True)
    return program


def play(
    player: Path,
    nowhere: Path,
    packets: int,
    *,
    pages: bool,
    sizes: BufferSizes = DEFAULT,
    before: Callable[[LiveTrace], None] = lambda trace: None,
) -> Notes:
    """A migration of some rounds, in each of which all threads report pages at once."""
    notes = Notes()
    with _started(player) as process:
        trace = LiveTrace(by_pid(process.pid), Level.PATCHED, monitor=nowhere / "nobody", pages=pages, sizes=sizes)
        with running(Observer(trace, [notes])):
            before(trace)
            _do(process, "begin", *[f"round {packets}"] * ROUNDS, "completed")
            wait(lambda: bool(notes.over))
    return notes


@contextmanager
def _started(player: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([player], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _do(process: subprocess.Popen[str], *lines: str) -> None:
    """Each line in turn; on the return the last one is done."""
    assert process.stdin
    assert process.stdout
    for line in lines:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ok\n"


def flaws(migration: Migration) -> list[str]:
    return [each.invalid_reason for each in migration.rounds]


def strangers(batch: PageBatch) -> int:
    """Records of a batch that are not of the thread that its block is named after, or not as that thread made them."""
    records = np.frombuffer(batch.records, wire.PAGE_RECORD)
    thread = int(batch.block.removeprefix("block-"))
    pages = records["tag"] >> 16
    own = (pages // PACKET % THREADS == thread) & (records["tag"] >> 8 & 0xFF == thread % 3)
    return int((~own | (records["hash"] != pages * np.uint64(FACTOR) + np.uint64(batch.round))).sum())


def test_every_page_of_every_thread_is_on_record_once(player: Path, tmp_path: Path) -> None:
    notes = play(player, tmp_path, PACKETS, pages=True, sizes=WHOLE)
    [migration] = notes.over
    assert migration.lost_events == {}
    assert sum(strangers(batch) for batch in notes.batches) == 0
    for number in range(1, ROUNDS + 1):
        records = b"".join(bytes(batch.records) for batch in notes.batches if batch.round == number)
        pages = np.sort(np.frombuffer(records, wire.PAGE_RECORD)["tag"] >> 16)
        assert np.array_equal(pages, np.arange(PACKETS * THREADS * PACKET, dtype=np.uint64)), f"round {number}"
    assert flaws(migration) == [""] * ROUNDS


def test_every_page_is_counted_once_without_page_records(player: Path, tmp_path: Path) -> None:
    packets = 5 * PACKETS
    notes = play(player, tmp_path, packets, pages=False)
    [migration] = notes.over
    assert migration.lost_events == {}
    assert flaws(migration) == [""] * ROUNDS
    assert migration.total("visited_pages") == ROUNDS * packets * THREADS * PACKET


def occupy(trace: LiveTrace) -> None:
    """Take the only element of the table, as a thread does that stays in the middle of its batch."""
    batches = trace._tracer._attachment._bpf.map("batches")
    batches.insert(bytes(8), bytes(batches.value_bytes))


@pytest.mark.parametrize("pages", [True, False], ids=["pages", "counts"])
def test_a_batch_that_finds_no_room_is_counted_as_lost(player: Path, tmp_path: Path, pages: bool) -> None:
    packets = 100
    notes = play(player, tmp_path, packets, pages=pages, sizes=BufferSizes(batches=1), before=occupy)
    [migration] = notes.over
    assert migration.lost_events == {wire.LOST_PLACES[-1]: ROUNDS * THREADS * packets}
    assert notes.batches == []
    assert not migration.valid
    assert all("the probe 0" in each for each in flaws(migration))
    assert "events lost" in flaws(migration)[0]


def test_nothing_is_left_of_threads_that_are_done(tmp_path: Path) -> None:
    """The table has room for one: threads, each round's another one, take it one after the other."""
    notes = play(built(tmp_path, threads=1), tmp_path, 100, pages=False, sizes=BufferSizes(batches=1))
    [migration] = notes.over
    assert migration.lost_events == {}
    assert flaws(migration) == [""] * ROUNDS

"""What channels of multifd do only now and then, played on demand: late ends of rounds, copies, odd calls."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.observe.bpf import packet_writes
from fakedirty.observe.decode import wire
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from migrating import Notes, running, wait

ACTIVE, COMPLETED, CANCELLED = 2, 3, 5  # of played_channels.c


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("played") / "qemu-system-x86_64"
    source = Path(__file__).parent / "helpers" / "played_channels.c"
    subprocess.run(["gcc", "-O0", "-Wall", "-Werror", "-o", program, source, "-lpthread"], check=True)
    with Binary(program) as binary:
        assert len(packet_writes.calls(binary)) == 1
    return program


class Played:
    """A process that does as it is told, and what was observed of it."""

    def __init__(self, process: subprocess.Popen[str], notes: Notes) -> None:
        self._process = process
        self.notes = notes

    def do(self, *lines: str) -> None:
        """Each line in turn; on the return the last one is done."""
        assert self._process.stdin
        assert self._process.stdout
        for line in lines:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "ok\n"

    def queue(self, *pages: int) -> None:
        self.do(*(f"queue {page}" for page in pages))

    def end(self, state: int = COMPLETED) -> Migration:
        """The migration, which has ended."""
        self.do(f"state {state}")
        wait(lambda: bool(self.notes.over))
        return self.notes.over[0]

    def records(self) -> Counter[tuple[int, int]]:
        """How often each page has a record, by round and number within the guest."""
        found: Counter[tuple[int, int]] = Counter()
        first = min(page for batch in self.notes.batches for page in self._pages(batch.records))
        for batch in self.notes.batches:
            found.update((batch.round, page - first) for page in self._pages(batch.records))
        return found

    @staticmethod
    def _pages(records: bytes | memoryview) -> list[int]:
        return [int(tag) >> 16 for tag in np.frombuffer(records, wire.PAGE_RECORD)["tag"]]


@contextmanager
def played(player: Path, nowhere: Path) -> Iterator[Played]:
    """In the first round of a migration."""
    notes = Notes()
    process = subprocess.Popen([player], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    command_line = Path(f"/proc/{process.pid}/cmdline")
    try:
        wait(lambda: bool(command_line.read_bytes()))  # it is empty for a moment after the exec
        trace = LiveTrace(by_pid(process.pid), Level.STOCK, monitor=nowhere / "nobody", pages=True)
        with running(Observer(trace, [notes])):
            play = Played(process, notes)
            play.do("start", f"state {ACTIVE}", "sync")
            yield play
    finally:
        process.kill()
        process.communicate()


def counts(migration: Migration) -> list[tuple[int | None, ...]]:
    """Of each round: first, changed, fake, normal and zero pages."""
    return [
        (each.first_pages, each.changed_pages, each.fake_pages, each.normal_pages, each.zero_pages)
        for each in migration.rounds
    ]


def flaws(migration: Migration) -> list[str]:
    return [each.invalid_reason for each in migration.rounds]


def test_a_page_is_of_the_round_in_which_it_was_queued(player: Path, tmp_path: Path) -> None:
    with played(player, tmp_path) as play:
        play.queue(0, 1, 2, 3, 4)
        play.do("packet 1 0 1 2", "sync")
        play.queue(20)
        play.do("write 0 7", "packet 2 3 4 20")  # of both rounds
        play.queue(0, 21)
        play.do("packet 3 0 z21", "sync")
        play.queue(1)
        play.do("packet 0 1")
        migration = play.end()
        records = play.records()
    assert flaws(migration) == ["", "", ""]
    assert counts(migration) == [(5, 0, 0, 5, 0), (2, 1, 0, 2, 1), (0, 0, 1, 1, 0)]
    assert records == Counter([(1, page) for page in (0, 1, 2, 3, 4)] + [(2, page) for page in (20, 0, 21)] + [(3, 1)])


def test_a_round_ends_where_it_was_closed(player: Path, tmp_path: Path) -> None:
    with played(player, tmp_path) as play:
        play.queue(0)
        play.do("sync")
        assert not play.notes.migrations or not play.notes.migrations[0].rounds
        play.do("packet 1 0")
        play.queue(1)
        wait(lambda: bool(play.notes.migrations) and len(play.notes.migrations[0].rounds) == 1)
        play.do("packet 1 1")
        migration = play.end()
    bulk, last = migration.rounds
    assert bulk.duration_seconds is not None
    assert last.start_seconds is not None
    assert abs(bulk.start_seconds + bulk.duration_seconds - last.start_seconds) < 0.001
    assert flaws(migration) == ["", ""]


def test_a_page_that_is_sent_twice_is_counted_once_and_compared_with_the_later_copy(
    player: Path, tmp_path: Path
) -> None:
    with played(player, tmp_path) as play:
        play.queue(0, 1)
        play.do("packet 1 0 1", "write 1 9")
        play.queue(2)
        play.do("packet 2 1 2", "sync")
        play.queue(1)
        play.do("packet 1 1")
        migration = play.end()
        records = play.records()
    assert flaws(migration) == ["", ""]
    assert counts(migration) == [(3, 0, 0, 3, 0), (0, 0, 1, 1, 0)]
    assert max(records.values()) == 1


def test_zero_pages_that_were_found_before_the_queue(player: Path, tmp_path: Path) -> None:
    """With an argument before the block, as before QEMU 8.2."""
    with played(player, tmp_path) as play:
        play.do("test 0", "queue-to 0", "test 1", "test 2", "queue-to 2", "test 3", "packet 1 0 2", "sync")
        play.do("test 1", "queue-to 1", "test 2", "packet 2 1", "sync", "test 2")
        migration = play.end()
    assert flaws(migration) == ["", "", ""]
    assert counts(migration) == [(4, 0, 0, 2, 2), (0, 2, 0, 1, 1), (0, 0, 1, 0, 1)]


def test_pages_without_a_packet_are_not_counted(player: Path, tmp_path: Path) -> None:
    """As zero copy sends them; what the page holds is no packet, whatever it is."""
    with played(player, tmp_path) as play:
        play.queue(0, 1)
        play.do("bare 1 0 1", "sync")
        play.queue(2)
        play.do("packet 1 2", "sync")
        migration = play.end()
    assert flaws(migration)[0].startswith("2 pages were queued for multifd, and 0 seen")
    assert [each.visited_pages for each in migration.rounds] == [None, 1, 0]
    assert not migration.valid


def test_more_rounds_than_can_be_open(player: Path, tmp_path: Path) -> None:
    """The oldest is handed on without what it lacks; the rest go on."""
    with played(player, tmp_path) as play:
        play.queue(0)
        for page in range(1, 12):
            play.do("sync")
            play.queue(page)
            play.do(f"packet 1 {page}")
        migration = play.end()
    assert "1 pages were queued for multifd, and 0 seen" in flaws(migration)[0]
    assert flaws(migration)[1:] == [""] * 11
    assert [each.round for each in migration.rounds] == list(range(1, 13))


def test_what_was_still_queued_when_it_was_cancelled(player: Path, tmp_path: Path) -> None:
    with played(player, tmp_path) as play:
        play.queue(0, 1)
        play.do("packet 1 0 1", "sync")
        play.queue(0, 1)
        play.do("packet 1 0")
        migration = play.end(CANCELLED)
    assert flaws(migration)[0] == ""
    assert flaws(migration)[1].startswith("2 pages were queued for multifd, and 1 seen")
    assert migration.valid is not True


def test_one_changed_page_in_a_full_packet(player: Path, tmp_path: Path) -> None:
    """Of which each of several programs hashes a part."""
    pages = range(128)
    with played(player, tmp_path) as play:
        for _ in range(2):
            play.queue(*pages)
            play.do(f"packet 2 {' '.join(map(str, pages))}", "write 100 5", "sync")
        migration = play.end()
        records = play.records()
    assert counts(migration)[:2] == [(128, 0, 0, 128, 0), (0, 1, 127, 128, 0)]
    assert set(records.values()) == {1}

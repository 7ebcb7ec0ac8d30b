"""The reader's end of a ring buffer, on a file of the kernel's layout."""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Iterator

import pytest
from fakedirty.observe.bpf.ring_buffer import RingBuffer

SIZE = 4096
BUSY, DISCARDED = 1 << 31, 1 << 30


class Writer:
    """The kernel's end: reserves, commits, and maps its data twice by writing twice."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * mmap.PAGESIZE + 2 * SIZE)
        self.position = 0

    def reserve(self, data: bytes, flags: int = BUSY) -> int:
        at = self.position
        self.put(at, struct.pack("<II", len(data) | flags, 0) + data)
        self.position += 8 + -(-len(data) // 8) * 8
        os.pwrite(self.descriptor, struct.pack("<Q", self.position), mmap.PAGESIZE)
        return at

    def commit(self, at: int, length: int, flags: int = 0) -> None:
        self.put(at, struct.pack("<I", length | flags))

    def put(self, at: int, raw: bytes) -> None:
        for number, byte in enumerate(raw):
            for copy in (0, SIZE):
                place = 2 * mmap.PAGESIZE + (at + number) % SIZE + copy
                os.pwrite(self.descriptor, bytes([byte]), place)

    @property
    def read(self) -> int:
        return int(struct.unpack("<Q", os.pread(self.descriptor, 8, 0))[0])


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    os.close(writer.descriptor)


@pytest.fixture
def ring(writer: Writer) -> Iterator[RingBuffer]:
    ring = RingBuffer(writer.descriptor, SIZE)
    yield ring
    ring.close()


def test_events_come_whole_and_in_order_over_the_end_of_the_buffer(writer: Writer, ring: RingBuffer) -> None:
    assert ring.take() == []
    for lap in range(12):
        said = [bytes([lap + each]) * (100 + 31 * each) for each in range(6)]
        for data in said:
            writer.reserve(data, flags=0)
        assert [bytes(event) for event in ring.take()] == said
        assert writer.read == writer.position


def test_an_event_that_is_being_written_holds_back_those_after_it(writer: Writer, ring: RingBuffer) -> None:
    writer.reserve(b"first", flags=0)
    late = writer.reserve(b"late")
    writer.reserve(b"third", flags=0)
    assert [bytes(event) for event in ring.take()] == [b"first"]
    assert writer.read == late
    writer.commit(late, 4)
    assert [bytes(event) for event in ring.take()] == [b"late", b"third"]


def test_what_has_been_begun_is_waited_for(writer: Writer, ring: RingBuffer) -> None:
    late = writer.reserve(b"late")
    writer.reserve(b"behind it", flags=0)
    timer = threading.Timer(0.05, writer.commit, (late, 4))
    timer.start()
    assert [bytes(event) for event in ring.take_begun(60)] == [b"late", b"behind it"]
    timer.join()


def test_an_event_that_is_never_complete_is_not_waited_for_for_ever(writer: Writer, ring: RingBuffer) -> None:
    writer.reserve(b"first", flags=0)
    writer.reserve(b"late")
    assert [bytes(event) for event in ring.take_begun(0.01)] == [b"first"]


def test_what_was_discarded_is_passed_over(writer: Writer, ring: RingBuffer) -> None:
    writer.commit(writer.reserve(b"nothing"), 7, DISCARDED)
    writer.reserve(b"something", flags=0)
    assert [bytes(event) for event in ring.take()] == [b"something"]
    assert writer.read == writer.position


def test_events_outlive_the_ring(writer: Writer) -> None:
    ring = RingBuffer(writer.descriptor, SIZE)
    writer.reserve(b"kept", flags=0)
    [event] = ring.take()
    ring.close()
    assert bytes(event) == b"kept"

"""The reader's end of a BPF ring buffer: all that waits in it is taken at once, copied once.

bcc calls back for every event, which costs more than the page records of a batch. The layout is the kernel's
(Documentation/bpf/ringbuf.rst): a page with the reader's position, a page with the writer's, and the data, mapped
twice in a row so that nothing wraps. Every event has a header of 8 bytes: its length, with two flags.
"""

from __future__ import annotations

import mmap
import time

WAIT_SECONDS = 0.2  # at most, for an event that is being written
_PAUSE_SECONDS = 0.001

_HEADER = 8
_BUSY = 1 << 31
_DISCARDED = 1 << 30
_POSITION_PAGE = mmap.PAGESIZE


class RingBuffer:
    """The ring buffer behind a file descriptor, of `size` bytes; it stays mapped until :meth:`close`."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._size = size
        self._reader = mmap.mmap(descriptor, _POSITION_PAGE)
        self._writer = mmap.mmap(descriptor, _POSITION_PAGE + 2 * size, prot=mmap.PROT_READ, offset=_POSITION_PAGE)
        # whole words: a position that the other side changes is never seen half changed
        self._read = memoryview(self._reader).cast("Q")
        self._written = memoryview(self._writer)[:_HEADER].cast("Q")
        self._data = memoryview(self._writer)[_POSITION_PAGE:]
        self._words = self._data.cast("I")

    def take(self) -> list[memoryview]:
        """The events that are complete, oldest first: parts of one copy."""
        start, end = self._read[0], self._written[0]
        first = start % self._size
        spans, at = [], 0
        while at < end - start:
            # before the copy: what is complete now is complete in it
            header = self._words[(first + at) // 4]
            if header & _BUSY:
                break
            length = header & ~_DISCARDED
            if not header & _DISCARDED:
                spans.append((at + _HEADER, at + _HEADER + length))
            at += _HEADER + -(-length // 8) * 8
        block = memoryview(bytes(self._data[first : first + at]))
        self._read[0] = start + at
        return [block[begin:stop] for begin, stop in spans]

    def take_begun(self, wait_seconds: float = WAIT_SECONDS) -> list[memoryview]:
        """All events that have been begun by now, oldest first.

        One that is being written hides those behind it, which may be complete for long: several threads write at once,
        and one may lose its CPU in the middle. After `wait_seconds` what it hides is left for later.
        """
        end, deadline = self._written[0], time.monotonic() + wait_seconds
        taken = self.take()
        while self._read[0] < end and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            taken += self.take()
        return taken

    def close(self) -> None:
        """Unmap."""
        for view in (self._read, self._written, self._words, self._data):
            view.release()
        self._reader.close()
        self._writer.close()

"""The reader's end of a BPF ring buffer. It takes all events that wait at once, in one copy.

bcc calls a function for each event, which costs more than all page records of a batch. The layout is the kernel's
(Documentation/bpf/ringbuf.rst): a page with the position of the reader, a page with that of the writer, and the data.
The data is mapped twice in a row, so no event is split at the end of it. Each event has a header of 8 bytes: its length
with two flags.
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
    """The ring buffer of `size` bytes behind a file descriptor. It stays mapped until :meth:`close`."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._size = size
        self._reader = mmap.mmap(descriptor, _POSITION_PAGE)
        self._writer = mmap.mmap(descriptor, _POSITION_PAGE + 2 * size, prot=mmap.PROT_READ, offset=_POSITION_PAGE)
        # positions are read and written as whole words, so none is read while it is half written
        self._read = memoryview(self._reader).cast("Q")
        self._written = memoryview(self._writer)[:_HEADER].cast("Q")
        self._data = memoryview(self._writer)[_POSITION_PAGE:]
        self._words = self._data.cast("I")

    def take(self) -> list[memoryview]:
        """Take the complete events, oldest first. They are views of one copy."""
        start, end = self._read[0], self._written[0]
        first = start % self._size
        spans, at = [], 0
        while at < end - start:
            # the headers are read before the copy is made: an event that is complete now is complete in the copy
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
        """Take all events that are begun by now, oldest first.

        An event that is being written hides the events after it, which may be complete already: several threads write
        at once, and one of them may lose its CPU in the middle. This waits up to `wait_seconds` for such events, and
        leaves the rest for the next call.
        """
        end, deadline = self._written[0], time.monotonic() + wait_seconds
        taken = self.take()
        while self._read[0] < end and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            taken += self.take()
        return taken

    def close(self) -> None:
        """Unmap the ring buffer."""
        for view in (self._read, self._written, self._words, self._data):
            view.release()
        self._reader.close()
        self._writer.close()

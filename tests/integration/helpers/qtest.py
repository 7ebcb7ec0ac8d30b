"""A guest's physical memory, written from outside through QEMU's qtest socket: marked dirty as any other write."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PATIENCE_SECONDS = 60.0


def qtest_arguments(path: Path) -> Sequence[str]:
    """QEMU's options for a qtest socket at `path`, beside whatever accelerator runs the guest."""
    return ("-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none")


class Qtest:
    """One client of the socket."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def fill(self, address: int, length: int, byte: int) -> None:
        """Set `length` bytes from physical `address` on."""
        self._command(f"memset {address:#x} {length:#x} {byte:#x}")

    def _command(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
        answer = self._stream.readline()
        assert answer.startswith("OK"), f"{text}: {answer!r}"


@contextmanager
def qtest(path: Path) -> Iterator[Qtest]:
    """A connection to the socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE_SECONDS)
        link.connect(str(path))
        with link.makefile("rw") as stream:
            yield Qtest(stream)

"""Answers of the kernel about a socket, of which some come rarely."""

from __future__ import annotations

import struct
from types import TracebackType
from typing import Self

import pytest
from fakedirty.linux import sock_diag

PEER = struct.pack("=HHI", 8, 2, 4711)
SHUTDOWN = struct.pack("=HHB3x", 5, 6, 0)  # one byte of content, filled up to four
EMPTY = struct.pack("=HH", 4, 1)
BROKEN = struct.pack("=HH", 0, 0)


class Kernel:
    """A netlink socket whose answer is already there."""

    def __init__(self, attributes: bytes) -> None:
        header = struct.pack("=IHHII", 16 + 16 + len(attributes), 20, 0, 0, 0)
        self._answer = header + struct.pack("=BBBBIII", 1, 1, 1, 0, 12, 0, 0) + attributes

    def send(self, request: bytes) -> int:
        return len(request)

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        return self._answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@pytest.mark.parametrize(
    ("attributes", "peer"),
    [
        (PEER, 4711),
        (SHUTDOWN + PEER, 4711),
        (EMPTY + PEER, 4711),
        (SHUTDOWN, None),
        (EMPTY, None),
        (b"", None),
        (BROKEN + PEER, None),
    ],
    ids=["alone", "after another", "after an empty one", "only another", "only an empty one", "none", "no length"],
)
@pytest.mark.timeout(10)
def test_what_is_asked_for_may_be_anywhere(
    attributes: bytes, peer: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sock_diag.socket, "socket", lambda *_: Kernel(attributes))
    found = sock_diag.peer(12)
    monkeypatch.undo()
    assert found == peer

"""The control socket answers root and its owner, by what the kernel says of the peer, and nobody else."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakedirty.service import control
from fakedirty.service.control import Caller, request, serving

OWNER, OTHER = 1000, 1001


class Claimed(socket.socket):
    """A connection whose peer is, as far as the kernel says, process 4711 of a user."""

    peer = 0

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:  # type: ignore[override]
        if (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED):
            return struct.pack("3i", 4711, self.peer, 5)
        return super().getsockopt(level, option, size)


def answered(peer: int, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[Caller]]:
    """The answer of a service of user OWNER to a request of user `peer`, and who it was done for."""
    monkeypatch.setattr(control.os, "geteuid", lambda: OWNER)
    done: list[Caller] = []

    def do(_request: Mapping[str, Any], caller: Caller) -> object:
        done.append(caller)
        return "done"

    ours, theirs = socket.socketpair()
    link = Claimed(fileno=theirs.detach())
    link.peer = peer
    clients = threading.BoundedSemaphore(1)
    clients.acquire()
    with ours:
        ours.sendall(b'{"command": "do"}\n')
        ours.shutdown(socket.SHUT_WR)
        control._serve(link, {"do": do}, clients)
        return json.loads(ours.makefile().readline()), done


@pytest.mark.parametrize("peer", [0, OWNER])
def test_root_and_the_owner_are_answered(peer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answered(peer, monkeypatch) == ({"return": "done"}, [Caller(4711, peer)])


@pytest.mark.parametrize("peer", [OTHER, OWNER - 1, 1, 65534])
def test_nobody_else_is(peer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, done = answered(peer, monkeypatch)
    assert done == []
    assert answer == {
        "kind": "UsageError",
        "error": f"user {peer} may not use this service: its owner and root may",
    }


def as_user(uid: int, path: Path) -> str:
    """What a process of another user reads from the socket, or the error that keeps it from that."""
    ends = os.pipe()
    child = os.fork()
    if child == 0:  # it does not return into the tests, whatever happens
        try:
            os.setgid(uid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(str(path))
                os.write(ends[1], link.recv(999) or b"the end of the connection")
        except BaseException:  # noqa: BLE001 - shown by the test
            os.write(ends[1], traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(ends[1])
    with os.fdopen(ends[0]) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_where_the_socket_lets_him_in() -> None:
    """Somebody has changed the mode of the socket."""
    done: list[Caller] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "control"
        Path(directory).chmod(0o755)
        with serving(path, {"do": lambda _request, caller: done.append(caller)}):
            path.chmod(0o666)
            assert "user 65534 may not use" in as_user(65534, path)
            assert request("do", path=path) is None
    assert [caller.uid for caller in done] == [0]


def test_the_socket_is_its_owners_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the mask of the process, and the mask is what it was afterwards."""
    path = tmp_path / "new/run/control"
    modes: list[int] = []
    listen = socket.socket.listen

    def seen(self: socket.socket, *backlog: int) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        listen(self, *backlog)

    monkeypatch.setattr(socket.socket, "listen", seen)
    before = os.umask(0)
    try:
        with serving(path, {}):
            assert os.umask(0) == 0
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    finally:
        os.umask(before)
    assert modes == [0o600]

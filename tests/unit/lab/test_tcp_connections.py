"""The connections of a process to a port, found and shut down from outside."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from fakedirty.errors import LabError
from fakedirty.lab.tcp_connections import connections, shut


def test_one_of_two_connections_is_shut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        made = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        accepted = [server.accept()[0] for _ in made]
        try:
            found = connections(os.getpid(), port)
            assert sorted(found) == sorted(each.fileno() for each in made)
            try:
                assert shut(os.getpid(), made[1].fileno())
            except LabError as error:
                pytest.skip(str(error))
            made[0].send(b"goes on")
            with pytest.raises(BrokenPipeError):
                made[1].send(b"is broken")
        finally:
            for each in (*made, *accepted):
                each.close()


def test_nothing_is_connected() -> None:
    assert connections(os.getpid(), 1) == []


def test_a_connection_that_was_closed_meanwhile() -> None:
    assert not shut(os.getpid(), 1 << 20)


def test_a_descriptor_that_is_no_connection() -> None:
    with Path("/dev/null").open() as file, pytest.raises(LabError, match="cannot break a connection"):
        shut(os.getpid(), file.fileno())

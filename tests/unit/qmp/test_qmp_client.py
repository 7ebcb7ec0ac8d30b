"""The QMP client against servers that are absent, busy, mute, not QMP, or leave."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.process import Process, running
from fakedirty.qmp import holder
from fakedirty.qmp.client import Qmp, QmpClosedError, QmpRefusedError
from fakedirty.qmp.peer import PeerError
from qmp_server import Hangup, babbling_server, qmp_server


def hang_up(arguments: dict[str, object]) -> object:
    raise Hangup


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "qmp"


def test_commands_are_answered(path: Path) -> None:
    with qmp_server(path, {"echo": dict}), Qmp.connect(path) as qmp:
        assert qmp.execute("echo") == {}
        assert qmp.execute("echo", {"with-dash": 1}, plain=2) == {"with-dash": 1, "plain": 2}


def test_a_refusal_leaves_the_connection(path: Path) -> None:
    with qmp_server(path, {"echo": dict}), Qmp.connect(path) as qmp:
        with pytest.raises(QmpRefusedError, match="no command nonsense") as refusal:
            qmp.execute("nonsense")
        assert refusal.value.error_class == "CommandNotFound"
        assert qmp.execute("echo") == {}


def test_events_come_in_order_and_wait_for_their_taker(path: Path) -> None:
    with qmp_server(path, {}) as send, Qmp.connect(path) as qmp:
        for name in ("ONE", "TWO", "THREE"):
            send(name)
        taken = qmp.wait_event({"TWO", "FOUR"}, timeout=10)
        assert taken
        assert taken["event"] == "TWO"
        assert qmp.wait_event("THREE", timeout=10)
        assert qmp.wait_event("FOUR", timeout=0.01) is None
        assert [event["event"] for event in qmp.drain_events()] == ["ONE"]
        assert qmp.drain_events() == []


def test_a_server_that_leaves_during_a_command(path: Path) -> None:
    with qmp_server(path, {"quit": hang_up}), Qmp.connect(path) as qmp:
        with pytest.raises(QmpClosedError, match="quit or was killed"):
            qmp.execute("quit")
        with pytest.raises(QmpClosedError):
            qmp.wait_event("SHUTDOWN", timeout=10)
        with pytest.raises(QmpClosedError):
            qmp.execute("quit")
        assert qmp.closed


def test_a_server_that_does_not_answer(path: Path) -> None:
    release = threading.Event()
    answers = {"slow": lambda arguments: release.wait(10), "echo": dict}
    with qmp_server(path, answers), Qmp.connect(path, answer_timeout=0.05) as qmp:
        with pytest.raises(QmpError, match="did not answer slow"):
            qmp.execute("slow")
        release.set()


def connections(path: Path) -> list[str]:
    """The threads that serve connections to `path`."""
    return [thread.name for thread in threading.enumerate() if thread.name == f"qmp {path}"]


def test_closing_ends_the_thread_and_every_wait(path: Path) -> None:
    with qmp_server(path, {}):
        qmp = Qmp.connect(path)
        assert len(connections(path)) == 1
        threading.Timer(0.05, qmp.close).start()
        with pytest.raises(QmpClosedError):
            qmp.wait_event("NEVER", timeout=30)
        qmp.close()
        assert connections(path) == []


def test_a_connection_with_a_limit_ends_by_itself(path: Path) -> None:
    with qmp_server(path, {}):
        qmp = Qmp.connect(path, life=0.2)
        with pytest.raises(QmpClosedError):
            qmp.wait_event("NEVER", timeout=30)
        qmp.close()
        assert connections(path) == []


@pytest.fixture
def child() -> Iterator[Process]:
    """Another process, which answers nothing."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield running(process.pid)
        process.kill()


def as_of(process: Process) -> dict[str, Callable[[dict[str, Any]], object]]:
    """The answers of a QEMU whose only vCPU is the first thread of `process`."""
    return {
        "query-uuid": lambda _: {"UUID": "00000000-0000-0000-0000-000000000000"},
        "query-cpus-fast": lambda _: [{"thread-id": process.pid}],
    }


def test_a_process_is_proven_by_its_sockets_or_by_its_threads(path: Path, child: Process) -> None:
    """This process listens, and answers as the child would."""
    itself = running(os.getpid())
    with qmp_server(path, as_of(child)), Qmp.connect(path) as qmp:
        assert qmp.leads_to(itself, by_threads=False) is True
        assert qmp.leads_to(itself, by_threads=True) is False
        assert qmp.leads_to(child, by_threads=False) is False
        assert qmp.leads_to(child, by_threads=True) is True


def test_a_connection_that_is_refused_is_closed(path: Path, child: Process) -> None:
    with qmp_server(path, as_of(running(os.getpid()))):
        with pytest.raises(PeerError):
            Qmp.connect(path, process=child)
        assert connections(path) == []


def test_absent(path: Path) -> None:
    with pytest.raises(QmpError, match="there is no socket"):
        Qmp.connect(path)


def test_left_over(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(QmpError, match="nobody listens"):
        Qmp.connect(path)


def test_not_a_socket(path: Path) -> None:
    path.write_text("")
    with pytest.raises(QmpError, match="nobody listens"):
        Qmp.connect(path)


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 200)
    directory.mkdir()
    (tmp_path / "short").symlink_to(directory)
    with qmp_server(tmp_path / "short/qmp", {"echo": dict}), Qmp.connect(directory / "qmp") as qmp:
        assert qmp.execute("echo") == {}


@pytest.mark.parametrize("sent", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"{}\n", b"\0" * 99 + b"\n", b"[1]\n", b""])
def test_not_qmp(path: Path, sent: bytes) -> None:
    with babbling_server(path, sent), pytest.raises(QmpError, match="is not a QMP socket"):
        Qmp.connect(path)


def test_endless_garbage(path: Path) -> None:
    with babbling_server(path, b"x" * (11 << 20)), pytest.raises(QmpError):
        Qmp.connect(path)


def test_a_mute_server_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "SS_SECONDS", 20.0)  # a busy machine takes its time
    hold = threading.Event()
    with babbling_server(path, b"", hold), pytest.raises(QmpError, match=rf"no QMP greeting.*\b{os.getpid()}\b"):
        Qmp.connect(path, timeout=0.1)
    hold.set()

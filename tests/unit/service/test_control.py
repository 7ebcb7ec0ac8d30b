"""The control socket: clients get answers; one that sends garbage, or nothing, does no harm."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import FakedirtyError, TargetError, UsageError
from fakedirty.service import control
from fakedirty.service.control import Caller, Held, NoServiceError, held_request, request, serving


class Office:
    """Handlers that note their callers."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.released = threading.Event()
        self.handlers = {
            "status": self.status,
            "echo": self.echo,
            "fail": self.fail,
            "hold": self.hold,
            "bug": self.bug,
        }

    def status(self, request: Mapping[str, Any], caller: Caller) -> object:
        self.callers.append(caller)
        return {"pid": os.getpid()}

    def echo(self, request: Mapping[str, Any], caller: Caller) -> object:
        return request["text"]

    def fail(self, request: Mapping[str, Any], caller: Caller) -> object:
        raise TargetError("no VM named wbe runs here; did you mean web?")

    def bug(self, request: Mapping[str, Any], caller: Caller) -> object:
        raise ZeroDivisionError

    def hold(self, request: Mapping[str, Any], caller: Caller) -> object:
        return Held("held", self.released.set)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control"


@pytest.fixture
def office(path: Path) -> Iterator[Office]:
    office = Office()
    with serving(path, office.handlers):
        yield office


def raw(path: Path, data: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(path))
        link.sendall(data)
        answer: dict[str, Any] = json.loads(link.makefile().readline())
        return answer


def test_a_client_is_known_and_gets_an_answer(office: Office, path: Path) -> None:
    assert request("status", path=path) == {"pid": os.getpid()}
    assert office.callers == [Caller(os.getpid(), os.geteuid())]
    assert request("echo", path=path, text="wörd\n") == "wörd\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_errors_come_as_what_they_are(office: Office, path: Path) -> None:
    with pytest.raises(TargetError, match="did you mean web"):
        request("fail", path=path)
    with pytest.raises(UsageError, match="no command 'stop'; there are status, echo"):
        request("stop", path=path)


def test_a_bug_is_reported_and_ends_nothing(office: Office, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exception, match="its log says why"):
        request("bug", path=path)
    assert "ZeroDivisionError" in caplog.text
    assert request("echo", path=path, text="still here") == "still here"


@pytest.mark.parametrize(
    "data", [b"garbage\n", b"\xff\xfe\n", b"[]\n", b"7\n", b'{"command": []}\n', b"x" * (control.LONGEST + 1)]
)
def test_garbage_is_refused(office: Office, path: Path, data: bytes) -> None:
    assert raw(path, data)["kind"] == "UsageError"
    assert request("echo", path=path, text="still here") == "still here"


def test_a_client_is_disconnected_after_an_error(office: Office, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(path))
        link.sendall(b'{"command": "fail"}\n{"command": "status"}\n')
        received = link.makefile("rb").readlines(1)
        assert json.loads(received[0])["kind"] == "TargetError"
        with contextlib.suppress(ConnectionResetError):  # as a request was not read
            assert link.recv(100) == b""
    assert office.callers == []


def echo_of(length: int) -> bytes:
    """A request of so many bytes, with the end of its line."""
    start, end = b'{"command": "echo", "text": "', b'"}\n'
    return start + b"x" * (length - len(start) - len(end)) + end


def test_a_request_has_an_end(office: Office, path: Path) -> None:
    assert set(raw(path, echo_of(control.LONGEST))["return"]) == {"x"}
    assert raw(path, echo_of(control.LONGEST + 1))["error"] == f"a request has {control.LONGEST} bytes at most"


def test_a_client_that_sends_nothing_is_disconnected_and_delays_no_other(
    office: Office, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(control, "MOST_CLIENTS", 3)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        assert request("echo", path=path, text="meanwhile") == "meanwhile"
        silent.settimeout(20)
        assert silent.recv(1) == b""


def test_there_is_an_end_to_clients(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_CLIENTS", 2)
    office = Office()
    with serving(path, office.handlers):
        with (
            held_request("hold", path=path),
            held_request("hold", path=path),
            pytest.raises(UsageError, match="clients are connected"),
        ):
            request("status", path=path)
        office.released.wait(20)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                request("status", path=path)
                break
            except UsageError:
                time.sleep(0.01)
        assert office.callers


def test_what_is_held_is_released_when_the_client_has_left(office: Office, path: Path) -> None:
    with held_request("hold", path=path) as answer:
        assert answer == "held"
        assert not office.released.is_set()
    assert office.released.wait(20)


def test_there_is_one_service(office: Office, path: Path) -> None:
    with pytest.raises(UsageError, match=f"pid {os.getpid()}"), serving(path, {}):
        pass
    assert request("status", path=path)


def test_what_a_killed_service_left_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(path, Office().handlers):
        assert request("status", path=path)
    assert not path.exists()
    with pytest.raises(NoServiceError, match="fakedirty observe --all"):
        request("status", path=path)


def test_a_service_that_ends_meanwhile_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes its socket before it is found out that nobody answers there."""
    path.parent.mkdir()
    before = control.request

    def ended(command: str, *, path: Path) -> object:
        path.unlink()
        return before(command, path=path)

    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        monkeypatch.setattr(control, "request", ended)
        with serving(path, Office().handlers):
            assert before("status", path=path)


def test_what_does_not_answer_is_not_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is stopped for a while is still one, and has its pending reverts."""
    monkeypatch.setattr(control, "PATIENCE_SECONDS", 0.1)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(path))
        stopped.listen()
        with pytest.raises(UsageError, match="does not answer"), serving(path, {}):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_the_request_of_a_client_that_has_left_is_not_carried_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that stood still finds requests whose clients have left, and have done something else by now."""
    monkeypatch.setattr(control, "PATIENCE_SECONDS", 0.1)
    path.parent.mkdir()
    office = Office()
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(path))
        service.listen()
        with pytest.raises(FakedirtyError, match="it may still do the request") as error:
            request("status", path=path)
        assert not isinstance(error.value, NoServiceError), "the client does not do it in another way"
        clients = threading.BoundedSemaphore(1)
        clients.acquire()
        control._serve(service.accept()[0], office.handlers, clients)
        assert office.callers == []
        with socket.socket(socket.AF_UNIX) as client:  # one that sends nothing more
            client.connect(str(path))
            client.sendall(b'{"command": "echo", "text": "it"}\n')
            client.shutdown(socket.SHUT_WR)
            clients.acquire()
            control._serve(service.accept()[0], office.handlers, clients)
            assert json.loads(client.recv(100)) == {"return": "it"}


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is no socket"), serving(file, {}):
        pass
    assert file.read_text() == "mine"
    with pytest.raises(UsageError, match="cannot listen"), serving(file / "control", {}):
        pass


def test_what_is_no_service_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        def talk() -> None:
            for answer in (b"SSH-2.0\n", b"[1]\n"):
                link, _ = other.accept()
                with link, link.makefile() as lines:
                    lines.readline()
                    link.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(NoServiceError, match="does not answer as the service does"):
            request("status", path=path)
        with pytest.raises(NoServiceError, match="is not the service"):
            request("status", path=path)
        thread.join()


def test_a_request_without_a_command_is_refused(office: Office, path: Path) -> None:
    for data in (b"{}\n", b'{"comand": "status"}\n', b"[]\n", b"7\n"):
        assert "expected a JSON object on one line" in raw(path, data)["error"]

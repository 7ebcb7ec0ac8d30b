"""A monitor has room for two who wait: looks at it leave one of them to whoever manages the guest."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.process import running
from fakedirty.observe.host import monitor_sharing
from fakedirty.qmp.address import AbstractSocket, Address, Place, TcpSocket, UnixSocket
from fakedirty.qmp.turn import turn

BACKLOG = 1  # QEMU's
LOOKS = 4


@contextlib.contextmanager
def held(family: socket.AddressFamily, address: object) -> Iterator[socket.socket]:
    """A socket of ours whose only client is being served."""
    with socket.socket(family) as listener:
        listener.bind(address)  # type: ignore[arg-type]
        listener.listen(BACKLOG)
        with socket.socket(family) as manager:
            manager.connect(listener.getsockname())
            with listener.accept()[0]:
                yield listener


@pytest.mark.parametrize("kind", ["file", "named file", "abstract", "tcp"])
def test_looks_leave_room_for_a_manager(kind: str, tmp_path: Path) -> None:
    path, name = tmp_path / "qmp", f"{tmp_path}"
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    address = {"tcp": ("127.0.0.1", 0), "abstract": f"\0{name}"}.get(kind, str(path))
    with held(family, address) as listener:
        port = str(listener.getsockname()[1])
        places: dict[str, Place] = {
            "file": UnixSocket(str(path)),
            "named file": path,
            "abstract": AbstractSocket(name),
            "tcp": TcpSocket("127.0.0.1", port),
        }
        for _ in range(LOOKS):
            with pytest.raises(QmpError), turn([Address(places[kind], running(os.getpid()))], 0.1):
                pass
        with socket.socket(family) as manager:  # as asynchronous clients do
            manager.settimeout(0 if family == socket.AF_UNIX else 0.5)
            manager.connect(listener.getsockname())


def test_a_connection_stays_until_somebody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_sharing, "CHECK_SECONDS", 0.0)
    monitors = [Address(UnixSocket(str(tmp_path / name)), running(os.getpid())) for name in ("first", "second")]
    it = monitor_sharing.MonitorSharing(monitors)
    with held(socket.AF_UNIX, str(tmp_path / "first")), socket.socket(socket.AF_UNIX) as second:
        second.bind(str(tmp_path / "second"))
        second.listen(BACKLOG)
        assert it.places() == ()
        assert it.places() == (monitors[1],)
        with socket.socket(socket.AF_UNIX) as ours, socket.socket(socket.AF_UNIX) as other:
            ours.connect(str(tmp_path / "second"))
            with second.accept()[0]:
                assert it.places() == (monitors[1],)
                other.connect(str(tmp_path / "second"))
                assert it.places() == ()
            with second.accept()[0]:
                assert it.places() == ()
        assert it.places() == (monitors[1],)

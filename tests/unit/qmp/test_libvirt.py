"""A domain of libvirt, with modules in the place of libvirt's that answer as it does."""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.process import Process
from fakedirty.qmp.address import Domain
from fakedirty.qmp.libvirt import DomainMonitor, host_of
from fakedirty.qmp.peer import PeerError

UUID = "7a0f7f71-496e-4142-a1e5-ba5bd800390c"


class LibvirtError(Exception):
    """As libvirt.libvirtError."""


class Libvirt:
    """A libvirt with one domain, whose only vCPU is a thread with the id `vcpu`."""

    def __init__(self, uri: str = "qemu:///system", vcpu: int = 101, problem: Exception | None = None) -> None:
        self.vcpu = vcpu
        self.closed = threading.Event()
        self._uri = uri
        self._problem = problem

    def open(self, name: str | None) -> Libvirt:
        assert name is None, "the default of its user"
        return self

    def close(self) -> None:
        self.closed.set()

    def getURI(self) -> str:  # noqa: N802 - libvirt's name
        return self._uri

    def lookupByUUIDString(self, uuid: str) -> str:  # noqa: N802 - libvirt's name
        if self._problem:
            raise self._problem
        return f"domain {uuid}"

    def command(self, domain: str, request: str, flags: int) -> str:
        assert (domain, flags) == (f"domain {UUID}", 0)
        answers: dict[str, Any] = {"query-uuid": {"UUID": UUID}, "query-cpus-fast": [{"thread-id": self.vcpu}]}
        return json.dumps({"return": answers[json.loads(request)["execute"]]})


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """A QEMU whose threads are 100 and 101."""
    for thread in (100, 101):
        (tmp_path / f"100/task/{thread}").mkdir(parents=True)
        (tmp_path / f"100/task/{thread}/status").write_text(f"Pid:\t{thread}\nNSpid:\t{thread}\n")
    (tmp_path / "100/stat").write_text("100 (qemu) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0")
    (tmp_path / "100/cmdline").write_bytes(f"qemu\0-uuid\0{UUID}\0".encode())
    return Process(100, 4711, tmp_path)


def connect(libvirt: Libvirt, process: Process, monkeypatch: pytest.MonkeyPatch) -> DomainMonitor:
    module = SimpleNamespace(open=libvirt.open, registerErrorHandler=lambda *_: None, libvirtError=LibvirtError)
    monkeypatch.setitem(sys.modules, "libvirt", module)
    monkeypatch.setitem(sys.modules, "libvirt_qemu", SimpleNamespace(qemuMonitorCommand=libvirt.command))
    return DomainMonitor.connect(Domain(UUID), process, 5.0, 5.0)


def refused(libvirt: Libvirt, process: Process, monkeypatch: pytest.MonkeyPatch) -> QmpError:
    with pytest.raises(QmpError) as refusal:
        connect(libvirt, process, monkeypatch)
    return refusal.value


def test_a_domain_of_its_threads_is_used(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(Libvirt(), process, monkeypatch) as monitor:
        assert monitor.execute("query-uuid") == {"UUID": UUID}
        assert not monitor.closed


def test_a_domain_of_other_threads_is_refused(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = Libvirt(vcpu=102)
    error = refused(libvirt, process, monkeypatch)
    assert type(error) is PeerError
    assert str(error).endswith(
        ": its vCPUs are not threads of process 100; another libvirt may manage it; LIBVIRT_DEFAULT_URI chooses the "
        "libvirt"
    )
    assert libvirt.closed.wait(10)


def test_a_libvirt_of_another_host_is_refused(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be a thread with the same id."""
    libvirt = Libvirt("qemu+ssh://root@far.example/system")
    error = refused(libvirt, process, monkeypatch)
    assert type(error) is QmpError
    assert "is a libvirt of another host (far.example); LIBVIRT_DEFAULT_URI" in str(error)
    assert libvirt.closed.wait(10)


def test_a_domain_that_libvirt_does_not_have(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(Libvirt(problem=LibvirtError("Domain not found")), process, monkeypatch)
    assert type(error) is QmpError
    assert "libvirt refused to reach" in str(error)
    assert "Domain not found" in str(error)


def test_an_error_of_another_kind_ends_the_connection_too(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = Libvirt(problem=MemoryError())
    with pytest.raises(MemoryError):
        connect(libvirt, process, monkeypatch)
    assert libvirt.closed.wait(10)


def test_this_host_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Rack-7")
    hosts = [host_of(f"qemu+ssh://{host}/system") for host in ("rack-7", "RACK-7", "localhost", "127.0.0.9", "[::1]")]
    assert hosts == [""] * 5
    assert [host_of(f"qemu+ssh://{host}/system") for host in ("rack-8", "192.0.2.7")] == ["rack-8", "192.0.2.7"]

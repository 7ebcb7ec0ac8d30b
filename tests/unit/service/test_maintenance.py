"""The notifications to the service manager, and the work of a service beside observing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedirty.record.retention import Limits
from fakedirty.service import maintenance
from fakedirty.service.config import parse
from fakedirty.service.maintenance import Maintenance
from fakedirty.service.options import ConfigurationSource, limits_of
from fakedirty.service.sd_notify import ServiceManager


@pytest.fixture
def manager_end(tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(20)
        yield link


def lines_of(link: socket.socket) -> list[str]:
    return link.recv(4096).decode().splitlines()


def test_the_manager_is_notified(manager_end: socket.socket, tmp_path: Path) -> None:
    now = [100.0]
    watchdog = {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), **watchdog}, lambda: now[0])
    manager.ready("observing")
    assert lines_of(manager_end) == ["READY=1", "STATUS=observing"]
    manager.alive()
    assert lines_of(manager_end) == ["WATCHDOG=1"]
    now[0] += 4.9
    manager.alive()
    now[0] += 0.1
    manager.alive()
    manager.stopping()
    assert [lines_of(manager_end), lines_of(manager_end)] == [["WATCHDOG=1"], ["STOPPING=1"]]


def test_without_a_manager_or_with_one_that_has_gone_nothing_is_sent(tmp_path: Path) -> None:
    for known in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "2"}, {"WATCHDOG_PID": "1"}):
        manager = ServiceManager(known)
        manager.ready("observing")
        manager.alive()
        manager.stopping()


def test_the_service_does_not_wait_for_a_manager_that_does_not_read(manager_end: socket.socket, tmp_path: Path) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for number in range(1000):
        manager.ready(str(number))
    assert lines_of(manager_end) == ["READY=1", "STATUS=0"]
    while lines_of(manager_end)[1] != "STATUS=1":
        pass
    manager.ready("again")


def kept(out: Path, days: float) -> Path:
    path = out / "web" / f"{days:g}"
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    then = (path / "manifest.json").stat().st_mtime - days * 86400
    for each in (path / "manifest.json", path):
        os.utime(each, (then, then))
    return path


def test_a_configuration_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out, file, again = tmp_path / "out", tmp_path / "fakedirty.toml", threading.Event()
    old, older = kept(out, 5), kept(out, 50)
    file.write_text("record.keep_days = 60\n")
    keeping = Maintenance(
        ServiceManager({}), set, again, out=out, source=ConfigurationSource(file), configuration=parse(file.read_text())
    )

    def tick() -> None:
        keeping.tick()
        assert keeping._pruning is not None
        keeping._pruning.result()

    tick()
    assert old.exists()
    assert older.exists()
    file.write_text("record.keep_days = 10\nobserve.level = 'stock'\n")
    again.set()
    tick()
    assert old.exists()
    assert not older.exists()
    assert "observe.level has changed" in caplog.text
    assert "keep_days" not in caplog.text
    file.write_text("record.keep_dys = 1\n")
    again.set()
    tick()
    assert old.exists()
    assert "stays as it was" in caplog.text
    assert "record.keep_dys" in caplog.text
    keeping.close()


def test_what_is_not_due_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned: list[Limits] = []
    monkeypatch.setattr(maintenance, "prune", lambda out, limits, in_use: pruned.append(limits) or [])
    configuration = parse("record.keep_gib = 1\n")
    keeping = Maintenance(ServiceManager({}), set, threading.Event(), out=tmp_path, configuration=configuration)
    for _ in range(3):
        keeping.tick()
    keeping.close()
    assert pruned == [limits_of(configuration)] == [Limits(0, 1 << 30)]


def test_a_clock_that_jumps_removes_nothing_by_age(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out, file, again, booted = tmp_path / "out", tmp_path / "fakedirty.toml", threading.Event(), [0.0]
    file.write_text("record.keep_days = 60\n")
    configuration, recording = parse(file.read_text()), kept(out, 100)

    def keeping(ticks: int, jump: float) -> None:
        maintenance = Maintenance(
            ServiceManager({}),
            set,
            again,
            out=out,
            source=ConfigurationSource(file),
            configuration=configuration,
            boot_time=lambda: booted[0],
        )
        booted[0] += jump
        for _ in range(ticks):
            maintenance.tick()
        maintenance.close()

    keeping(3, -90 * 86400)
    assert recording.exists()
    assert [record.message for record in caplog.records] == [
        "the clock was set by -7776000 s: recordings do not expire until the configuration is read again"
    ]
    again.set()  # somebody has looked
    keeping(1, 90 * 86400)
    assert not recording.exists()
    recording = kept(out, 100)
    keeping(1, 60)  # a correction
    assert not recording.exists()

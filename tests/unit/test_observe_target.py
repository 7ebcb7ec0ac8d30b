"""Finding QEMUs in a /proc that the test made."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.errors import QmpError, TargetError
from fakedirty.observe import target
from fakedirty.qmp.domain import Domain
from fakedirty.qmp.monitor import connect

STAT = "{pid} (qemu (odd) name) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"


def process(proc: Path, pid: int, exe: str, *words: str) -> None:
    directory = proc / str(pid)
    directory.mkdir()
    (directory / "exe").symlink_to(exe)
    (directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in (exe, *words)))
    (directory / "stat").write_text(STAT.format(pid=pid))


def test_what_runs(tmp_path: Path) -> None:
    process(tmp_path, 30, "/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on")
    process(tmp_path, 4, "/usr/libexec/qemu-kvm (deleted)", "-name", "db")
    process(tmp_path, 5, "/usr/bin/bash", "qemu-system-x86_64")
    process(tmp_path, 6, "/usr/bin/qemu-system-aarch64")
    (tmp_path / "self").mkdir()
    found = target.find_all(tmp_path)
    assert [(entry.pid, entry.vm) for entry in found] == [(4, "db"), (6, "pid-6"), (30, "web")]
    assert found[0].program == "/usr/libexec/qemu-kvm"
    assert found[0].exe == tmp_path / "4" / "exe"
    assert found[0].start_ticks == 4711


@pytest.mark.parametrize(
    "words",
    [
        ["-qmp", "unix:{socket},server=on,wait=off"],
        ["-qmp", "unix:path={socket},server,nowait"],
        ["--qmp-pretty", "unix:{socket},server"],
        ["-chardev", "socket,id=mon,path={socket},server=on", "-mon", "chardev=mon,mode=control"],
        ["-chardev", "socket,id=mon,path={socket},server=on", "-mon", "mon,mode=control"],
        ["-chardev", "socket,id=mon,path={socket},server=on", "-qmp", "chardev:mon"],
    ],
)
def test_qmp_sockets(tmp_path: Path, words: list[str]) -> None:
    socket = tmp_path / "qmp,1"
    socket.touch()
    proc = tmp_path / "proc"
    proc.mkdir()
    escaped = str(socket).replace(",", ",,")
    process(proc, 9, "/usr/bin/qemu-system-x86_64", *(word.format(socket=escaped) for word in words))
    assert target.by_pid(9, proc).monitors == (socket,)


def test_sockets_that_are_not_qmp(tmp_path: Path) -> None:
    words = ["-monitor", "unix:/m,server", "-chardev", "socket,id=a,path=/a", "-mon", "chardev=a,mode=readline"]
    process(tmp_path, 9, "/usr/bin/qemu-system-x86_64", *words, "-qmp", "tcp:localhost:4444")
    assert target.by_pid(9, tmp_path).monitors == ()


def test_paths_of_another_root_or_directory(tmp_path: Path) -> None:
    words = ["-qmp", "unix:here", "-qmp", "unix:/nowhere/in/its/root", "-qmp", "unix:/nowhere/at/all"]
    process(tmp_path, 9, "/usr/bin/qemu-system-x86_64", *words)
    directory = tmp_path / "9"
    (directory / "root/nowhere/in/its").mkdir(parents=True)
    (directory / "root/nowhere/in/its/root").touch()
    assert target.by_pid(9, tmp_path).monitors == (
        directory / "cwd/here",
        directory / "root/nowhere/in/its/root",
        Path("/nowhere/at/all"),
    )


def test_what_is_no_qemu_is_refused(tmp_path: Path) -> None:
    process(tmp_path, 5, "/usr/bin/bash")
    with pytest.raises(TargetError, match="no process 6"):
        target.by_pid(6, tmp_path)
    with pytest.raises(TargetError, match="not a QEMU"):
        target.by_pid(5, tmp_path)


LIBVIRTS = (
    *("-name", "guest=web,debug-threads=on", "-uuid", "7a0f7f71-496e-4142-a1e5-ba5bd800390c"),
    *(
        "-chardev",
        "socket,id=charmonitor,fd=28,server=on,wait=off",
        "-mon",
        "chardev=charmonitor,id=monitor,mode=control",
    ),
)


def test_a_qemu_of_libvirts_is_asked_through_libvirt_first(tmp_path: Path) -> None:
    domain = Domain("7a0f7f71-496e-4142-a1e5-ba5bd800390c", 9, tmp_path)
    process(tmp_path, 9, "/usr/bin/qemu-system-x86_64", *LIBVIRTS)
    assert target.by_pid(9, tmp_path).vm == "web"
    assert target.by_pid(9, tmp_path).monitors == (domain,)
    process(tmp_path, 10, "/usr/bin/qemu-system-x86_64", *LIBVIRTS, "-qmp", "unix:/own")
    assert target.by_pid(10, tmp_path).monitors == (replace(domain, pid=10), Path("/own"))
    # who gives a socket a path of its own is nobody of libvirt's
    process(tmp_path, 11, "/usr/bin/qemu-system-x86_64", "-uuid", "1", "-chardev", "socket,id=charmonitor,path=/own")
    assert target.by_pid(11, tmp_path).monitors == ()


def test_without_its_module_libvirt_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(QmpError, match="install python3-libvirt"):
        connect(Domain("7a0f7f71-496e-4142-a1e5-ba5bd800390c", 9))

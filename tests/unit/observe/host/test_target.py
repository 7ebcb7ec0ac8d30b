"""Finding QEMUs in a /proc that the test made."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
from fakedirty.errors import QmpError, TargetError
from fakedirty.linux.process import Process
from fakedirty.observe.host import emulator, target
from fakedirty.qmp.address import AbstractSocket, Address, Domain, InheritedSocket, Place, TcpSocket, UnixSocket
from fakedirty.qmp.libvirt import host_of
from fakedirty.qmp.monitor import connect

STAT = "{pid} (qemu (odd) name) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0"
EMULATOR = b"\x7fELF...\0QEMU emulator version\0usage: %s [options] [disk_image]\0"


def executable(directory: Path, name: str, content: bytes) -> Path:
    """A file, in a directory that is no process's."""
    path = directory / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def process(
    proc: Path,
    pid: int,
    exe: str,
    *words: str,
    content: bytes = EMULATOR,
    parent: int = 1,
    ticks: int = 4711,
    gone: bool = False,
) -> None:
    """An entry in a /proc, of an executable with this content; `gone` has neither memory nor executable any more."""
    directory = proc / str(pid)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    if not gone:
        (directory / "exe").symlink_to(executable(proc, exe, content))
    written = b"" if gone else b"".join(word.encode() + b"\0" for word in (exe, *words))
    (directory / "cmdline").write_bytes(written)
    (directory / "stat").write_text(STAT.format(pid=pid, parent=parent, ticks=ticks))


def test_what_runs(tmp_path: Path) -> None:
    process(tmp_path, 30, "qemu-system-x86_64", "-name", "guest=web,debug-threads=on")
    process(tmp_path, 4, "qemu-virtiofs-system-x86_64", "-name", "db")
    process(tmp_path, 5, "bash", "qemu-system-x86_64", content=b"\x7fELF a shell")
    process(tmp_path, 6, "kvm")
    process(tmp_path, 7, "", gone=True)
    (tmp_path / "self").mkdir()
    found = target.find_all(tmp_path)
    assert [(entry.pid, entry.vm) for entry in found] == [(4, "db"), (6, "pid-6"), (30, "web")]
    assert found[0].program == str(tmp_path / "files/qemu-virtiofs-system-x86_64")
    assert found[0].exe == tmp_path / "4" / "exe"
    assert found[0].start_ticks == 4711


def far_apart(*parts: bytes) -> bytes:
    return b"\x7fELF" + b"".join(part.rjust(5 << 20) for part in parts)


@pytest.mark.parametrize(
    "content",
    [
        EMULATOR,
        far_apart(b"QEMU emulator version", b"[disk_image]"),
        far_apart(b"some_vm_start\0", b"runstate_set\0", b"\0qemu_system_reset\0"),
        far_apart(b"qemu\0runstate_set\0int", b"qemu\0vm_state_notify\0int"),
        b"\x7fELF" + b" " * ((4 << 20) - 10) + EMULATOR[4:],  # over the end of a part
    ],
    ids=["texts", "texts far apart", "functions", "trace events", "across parts"],
)
def test_a_qemu_by_what_was_built_into_it(content: bytes, tmp_path: Path) -> None:
    process(tmp_path, 9, "anything", "-name", "web", content=content)
    assert target.by_pid(9, tmp_path).vm == "web"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("qemu-system-x86_64", b'#!/bin/sh\necho "QEMU emulator version [disk_image]"\n'),
        ("qemu-system-x86_64", b"\x7fELF an editor that somebody called so"),
        ("qemu-img", b"\x7fELF qemu-img version\0qemu\0bdrv_open\0"),
        ("qemu-storage-daemon", b"\x7fELF runstate_check\0vm_stop\0qemu\0qmp_block_job\0"),
        ("manager", b"\x7fELF QEMU emulator version"),
    ],
)
def test_what_only_seems_to_be_a_qemu(name: str, content: bytes, tmp_path: Path) -> None:
    process(tmp_path, 9, name, "-name", "web", "-machine", "pc", content=content)
    assert target.find_all(tmp_path) == []
    with pytest.raises(TargetError, match="not a QEMU"):
        target.by_pid(9, tmp_path)


@pytest.mark.parametrize(
    "words", [["-version"], ["--help"], ["-machine", "help"], ["-device", "virtio-net,help"], ["-cpu", "?"]]
)
def test_a_qemu_that_only_prints_something_is_none(words: list[str], tmp_path: Path) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", *words)
    assert target.find_all(tmp_path) == []


@pytest.mark.parametrize("words", [["-name", "help"], ["-append", "quiet mode=?"], ["-smbios", "type=11,value=help"]])
def test_a_qemu_that_is_called_help_is_one(words: list[str], tmp_path: Path) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", *words)
    assert [found.pid for found in target.find_all(tmp_path)] == [9]


def test_a_finder_sees_who_comes_and_goes(tmp_path: Path) -> None:
    now = 0.0
    finder = target.Finder(tmp_path, lambda: now)

    def vms() -> list[str]:
        return [each.vm for each in finder.find()]

    process(tmp_path, 5, "sh", content=b"\x7fELF")
    process(tmp_path, 8, "qemu", "-name", "web")
    assert vms() == ["web"]
    [web] = finder.find()
    assert finder.find()[0] is web
    # what was another program a moment ago
    process(tmp_path, 5, "qemu", "-name", "db")
    assert vms() == ["db", "web"]
    process(tmp_path, 6, "sh", content=b"\x7fELF")
    assert vms() == ["db", "web"]
    # what was another program for a long time, and an id that is another's by now, take all turns at most
    now = 2 * target.YOUNG_SECONDS
    process(tmp_path, 6, "qemu", "-name", "late")
    process(tmp_path, 8, "qemu", "-name", "again", ticks=4712)
    process(tmp_path, 5, "", gone=True)
    for _ in range(2 * target.TURNS):
        found = vms()
    assert found == ["late", "again"]
    shutil.rmtree(tmp_path / "6")
    assert vms() == ["again"]


def test_a_qemu_that_has_no_command_line_yet(tmp_path: Path) -> None:
    """Between two steps of execve(2)."""
    finder = target.Finder(tmp_path)
    process(tmp_path, 8, "qemu", "-name", "web")
    written = (tmp_path / "8/cmdline").read_bytes()
    (tmp_path / "8/cmdline").write_bytes(b"")
    assert finder.find() == []
    (tmp_path / "8/cmdline").write_bytes(written)
    assert [each.vm for each in finder.find()] == ["web"]


def test_a_copy_of_a_qemu_is_none(tmp_path: Path) -> None:
    """QEMU forks to start a program, to become a daemon, and to have its memory torn down after it."""
    finder = target.Finder(tmp_path)
    process(tmp_path, 8, "qemu", "-name", "web")
    process(tmp_path, 9, "qemu", "-name", "web", parent=8)
    assert [each.pid for each in finder.find()] == [8]
    shutil.rmtree(tmp_path / "8")
    process(tmp_path, 9, "qemu", "-name", "web", parent=1)
    assert [each.pid for each in finder.find()] == [9]
    # a QEMU that another one has started is one
    process(tmp_path, 10, "qemu", "-name", "nested", parent=9)
    assert [each.pid for each in finder.find()] == [9, 10]


def places(pid: int, proc: Path) -> list[Place]:
    """Of the monitors of a QEMU, each of which is that process's."""
    found = target.by_pid(pid, proc)
    assert {address.process for address in found.monitors} <= {Process(pid, 4711, proc)}
    return [address.place for address in found.monitors]


AT = "socket,id=mon,server=on"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["-qmp", "unix:/qmp,,1,server=on,wait=off"], UnixSocket("/qmp,1")),
        (["-qmp", "unix:path=/qmp,server,nowait"], UnixSocket("/qmp")),
        (["--qmp-pretty", "unix:here,server"], UnixSocket("here")),
        (["-chardev", f"{AT},path=/qmp", "-mon", "chardev=mon,mode=control"], UnixSocket("/qmp")),
        (["-chardev", f"{AT},path=/qmp", "-mon", "mon,mode=control"], UnixSocket("/qmp")),
        (["-chardev", f"{AT},path=/qmp", "-qmp", "chardev:mon"], UnixSocket("/qmp")),
        (["-chardev", f"{AT},path=qmp,abstract=on", "-qmp", "chardev:mon"], AbstractSocket("qmp")),
        (["-chardev", f"{AT},path=qmp,abstract=on,tight=off", "-qmp", "chardev:mon"], AbstractSocket("qmp", False)),
        (["-chardev", f"{AT},fd=7", "-qmp", "chardev:mon"], InheritedSocket(7)),
        (["-chardev", f"{AT},host=::1,port=4444,to=4450", "-qmp", "chardev:mon"], TcpSocket("::1", "4444", 4450)),
        (["-qmp", "tcp:localhost:4444,server=on,wait=off"], TcpSocket("localhost", "4444")),
        (["-qmp", "tcp:[::1]:4444,server"], TcpSocket("::1", "4444")),
        (["-qmp", "tcp::4444,server=on"], TcpSocket("", "4444")),
    ],
)
def test_control_monitors(tmp_path: Path, words: list[str], place: Place) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", *words)
    assert places(9, tmp_path) == [place]


def test_a_place_is_named_in_characters_that_do_nothing(tmp_path: Path) -> None:
    process(tmp_path, 9, "qemu", "-qmp", "unix:/a\x1b]0;owned\x07\nb,server", "-qmp", "tcp:\r:1")
    assert [str(place) for place in places(9, tmp_path)] == ["/a\\u001b]0;owned\\u0007\\nb", "-qmp tcp:\\r:1"]


def test_monitors_of_a_configuration_file(tmp_path: Path) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", "-readconfig", "vm.cfg", "-qmp", "chardev:other")
    (tmp_path / "9/cwd").mkdir()
    (tmp_path / "9/cwd/vm.cfg").write_text(
        '# qemu config file\n[name]\n  guest = "web"\n\n[chardev "m"]\n  backend = "socket"\n  path = "/qmp"\n'
        '  server = "on"\n[chardev "other"]\nbackend="socket"\npath = "/other"\nserver = "on"\n'
        '[chardev "serial"]\n backend = "socket"\n path = "/serial"\n server = "on"\n'
        '[mon "control"]\n  chardev = "m"\n  mode = "control"\n[mon "human"]\n chardev = "serial"\n mode = "readline"\n'
    )
    assert places(9, tmp_path) == [UnixSocket("/other"), UnixSocket("/qmp")]
    assert target.by_pid(9, tmp_path).vm == "web"


def test_a_configuration_that_is_no_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process(tmp_path, 9, "qemu-system-x86_64", "-readconfig", str(pipe), "-readconfig", "/dev/fd/0")
    (tmp_path / "9/fd").mkdir()
    (tmp_path / "9/fd/0").symlink_to(pipe)
    found: list[Place] = []
    # to open a pipe is to wait for somebody who writes
    looking = threading.Thread(target=lambda: found.extend(places(9, tmp_path)), daemon=True)
    looking.start()
    looking.join(10)
    assert [str(place) for place in found] == [f"-readconfig {pipe}", "-readconfig /dev/fd/0"]


def test_the_last_name_is_its_name(tmp_path: Path) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", "-name", "guest=web", "-name", "db,debug-threads=on")
    assert target.by_pid(9, tmp_path).vm == "db"


@pytest.mark.parametrize(
    "words",
    [
        ["-monitor", "unix:/m,server"],
        ["-chardev", f"{AT},path=/a", "-mon", "chardev=mon,mode=readline"],
        ["-chardev", f"{AT},path=/a", "-serial", "chardev:mon"],
        ["-vnc", "unix:/vnc"],
        ["-qmp", "none"],
    ],
)
def test_sockets_that_are_not_qmp(tmp_path: Path, words: list[str]) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", *words)
    assert places(9, tmp_path) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-qmp", "unix:/m"], "itself a client, of the process that listens at /m"),
        (["-qmp", "tcp:h:1"], "itself a client, of the process that listens at h:1"),
        (["-qmp", "unix:/m,noserver"], "itself a client"),
        (["-chardev", "socket,id=mon,path=/m,reconnect=5", "-mon", "mon,mode=control"], "listens at /m"),
        (["-chardev", "socket,id=mon,path=/m,reconnect-ms=5,server=off", "-mon", "mon,mode=control"], "listens at /m"),
        (["-chardev", "socket,id=mon,fd=5", "-mon", "mon,mode=control"], "itself a client"),
        (["-chardev", f"{AT},fd=name", "-mon", "mon,mode=control"], "the name name"),
        (["-chardev", f"{AT},port=1,telnet=on", "-mon", "mon,mode=control"], "must use telnet"),
        (["-chardev", f"{AT},port=1,websocket=on", "-mon", "mon,mode=control"], "must use websocket"),
        (["-chardev", f"{AT},port=1,tls-creds=t", "-mon", "mon,mode=control"], "must use TLS"),
        (["-chardev", "pipe,id=mon,path=/m", "-mon", "mon,mode=control"], "its kind is pipe"),
        (["-mon", "mon,mode=control"], "no option defines it"),
        (["-qmp", "stdio"], "its kind is stdio"),
        (
            ["-qmp", "unix:/var/lib/libvirt/qemu/qmp-x1Yz/qmp.monitor,server=on,wait=off"],
            "libvirt reads from",
        ),
        (["-qmp", "pty"], "its kind is pty"),
        (["-readconfig", "/nowhere/vm.cfg"], "cannot be read"),
    ],
)
def test_monitors_that_nobody_can_come_to_are_named(tmp_path: Path, words: list[str], why: str) -> None:
    process(tmp_path, 9, "qemu-system-x86_64", *words)
    [address] = target.by_pid(9, tmp_path).monitors
    with pytest.raises(QmpError, match=f"{address} is not reachable: .*{why}"):
        connect(address)


def test_what_is_no_qemu_is_refused(tmp_path: Path) -> None:
    process(tmp_path, 5, "bash", content=b"")
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
    domain = Domain("7a0f7f71-496e-4142-a1e5-ba5bd800390c")
    process(tmp_path, 9, "qemu-system-x86_64", *LIBVIRTS)
    assert target.by_pid(9, tmp_path).vm == "web"
    assert places(9, tmp_path) == [domain]
    process(tmp_path, 10, "qemu-system-x86_64", *LIBVIRTS, "-qmp", "unix:/own,server")
    assert places(10, tmp_path) == [domain, UnixSocket("/own")]
    # who gives a socket a path of its own is nobody of libvirt's
    process(tmp_path, 11, "qemu-system-x86_64", "-uuid", "1", "-chardev", "socket,id=charmonitor,path=/own")
    assert places(11, tmp_path) == []


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("qemu:///system", ""),
        ("qemu+unix:///session?socket=/run/x", ""),
        ("qemu+tcp://127.0.0.1:16509/system", ""),
        ("qemu+tls://[::1]/system", ""),
        ("qemu+ssh://root@localhost/system", ""),
        ("qemu+ssh://root@other.example/system", "other.example"),
        ("qemu+tcp://[2001:db8::1]:16509/system", "2001:db8::1"),
    ],
)
def test_a_libvirt_of_another_host_is_known_by_its_uri(uri: str, host: str) -> None:
    assert host_of(uri) == host


def test_without_its_module_libvirt_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(QmpError, match="install python3-libvirt"):
        connect(Address(Domain("7a0f7f71-496e-4142-a1e5-ba5bd800390c"), Process(9, 1)))


def test_executables_are_not_remembered_for_ever(tmp_path: Path) -> None:
    """A host that compiles, or runs containers, has ever new ones."""
    paths = [executable(tmp_path, "qemu", EMULATOR), executable(tmp_path, "other", b"\x7fELF")]
    for number in range(10_000):
        path = paths[number % 2]
        assert emulator.is_emulator(path, (1, number, 1, 1)) == (path == paths[0])
    assert len(emulator._known) < 5000
    assert not emulator.is_emulator(tmp_path / "ended", emulator.NOTHING)

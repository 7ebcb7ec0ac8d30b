"""The file that leads to a socket of a process: in its mounts and its root, and never another's."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux import sock_diag
from fakedirty.linux.process import Process, running
from fakedirty.linux.sock_diag import SocketFile
from fakedirty.qmp.address import InheritedSocket, Place, TcpSocket, UnixSocket
from fakedirty.qmp.connect import routes


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that the process under test listens at, once it is bound."""
    with socket.socket(socket.AF_UNIX) as made:
        yield made


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """A socket of somebody else, who wants to be taken for that process."""
    with socket.socket(socket.AF_UNIX) as made:
        yield made


def bind(made: socket.socket, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.bind(str(path))
    made.listen(1)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with a process 9 of our network and mounts."""
    proc = tmp_path / "p"
    for directory in ("9/fd", "9/ns", "9/net", "9/root", "self/ns"):
        (proc / directory).mkdir(parents=True)
    for directory in ("9/ns", "self/ns"):
        (proc / directory / "net").symlink_to("net:[1]")
        (proc / directory / "mnt").symlink_to("mnt:[1]")
    return proc


def process(proc: Path, listener: socket.socket, name: Path) -> Process:
    """The process 9, which listens at `listener` and has bound it to `name`."""
    inode = os.fstat(listener.fileno()).st_ino
    (proc / "9/fd/3").symlink_to(f"socket:[{inode}]")
    (proc / "9/net/unix").write_text(
        f"Num       RefCount Protocol Flags    Type St Inode Path\n"
        f"0000000000000000: 00000002 00000000 00010000 0001 01 {inode} {name}\n"
    )
    return Process(9, 4711, proc)


def leave_our_mounts(proc: Path) -> None:
    (proc / "9/ns/mnt").unlink()
    (proc / "9/ns/mnt").symlink_to("mnt:[2]")


def reached(place: Place, meant: Process, listener: socket.socket) -> int:
    """How many ways there are; each leads to `listener`."""
    found = list(routes(place, meant))
    listener.setblocking(False)
    for route in found:
        link = route(time.monotonic() + 5).socket
        with link, listener.accept()[0]:
            pass
    return len(found)


def left_open(path: Path) -> bool:
    """Whether one of our open files is the one at a path."""
    return any(os.readlink(each) == str(path) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())


def refused(place: Place, meant: Process) -> str:
    with pytest.raises(QmpError) as refusal:
        list(routes(place, meant))
    return str(refusal.value)


def of_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports a device for the socket's file that no path has, as for some file systems of containers."""
    known = sock_diag.file_of

    def file_of(inode: int) -> SocketFile | None:
        found = known(inode)
        return found and SocketFile(found.inode, (4095, 0))

    monkeypatch.setattr(sock_diag, "file_of", file_of)


def test_the_file_that_the_socket_was_bound_to(tmp_path: Path, listener: socket.socket) -> None:
    bind(listener, tmp_path / "qmp")
    assert reached(UnixSocket(str(tmp_path / "qmp")), running(os.getpid()), listener) == 1
    assert not left_open(tmp_path / "qmp"), "a file is opened to connect to it"


def test_a_file_that_only_the_process_sees(proc: Path, tmp_path: Path, listener: socket.socket) -> None:
    bind(listener, proc / "9/root/qmp")
    assert reached(UnixSocket("/qmp"), process(proc, listener, Path("/qmp")), listener) == 1


def test_another_socket_in_its_place(tmp_path: Path, listener: socket.socket, other: socket.socket) -> None:
    bind(listener, tmp_path / "qmp")
    bind(other, tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / "qmp")
    why = refused(UnixSocket(str(tmp_path / "qmp")), running(os.getpid()))
    assert f"({tmp_path}/qmp is another socket by now; " in why


def test_another_file_in_its_place(tmp_path: Path, listener: socket.socket) -> None:
    bind(listener, tmp_path / "qmp")
    (tmp_path / "other").touch()
    (tmp_path / "other").rename(tmp_path / "qmp")
    why = refused(UnixSocket(str(tmp_path / "qmp")), running(os.getpid()))
    assert f"({tmp_path}/qmp is not a socket; " in why


def test_a_socket_that_is_replaced_before_it_is_connected_to(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with socket.socket(socket.AF_UNIX) as meant, socket.socket(socket.AF_UNIX) as other:
        for listener, name in ((meant, path), (other, tmp_path / "other")):
            listener.bind(str(name))
            listener.listen(1)
        [route] = routes(UnixSocket(str(path)), running(os.getpid()))
        (tmp_path / "other").rename(path)
        with pytest.raises(QmpError, match="another socket by now"):
            route(time.monotonic() + 1)
        assert not left_open(path)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_its_own_file_where_the_kernel_does_not_report_it(
    proc: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(listener, proc / "9/root/qmp")
    monkeypatch.setattr(sock_diag, "file_of", lambda _inode: None)
    assert reached(UnixSocket("/qmp"), process(proc, listener, Path("/qmp")), listener) == 1


def test_its_own_file_in_a_file_system_of_another_device(
    proc: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(listener, proc / "9/root/qmp")
    of_another_device(monkeypatch)
    leave_our_mounts(proc)
    assert reached(UnixSocket("/qmp"), process(proc, listener, Path("/qmp")), listener) == 1


def test_a_file_of_our_mounts_in_a_file_system_of_another_device(
    proc: Path, tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(listener, tmp_path / "qmp")
    of_another_device(monkeypatch)
    meant = process(proc, listener, tmp_path / "qmp")
    assert reached(UnixSocket(str(tmp_path / "qmp")), meant, listener) == 1
    leave_our_mounts(proc)
    assert f"{tmp_path}/qmp is another socket by now" in refused(UnixSocket(str(tmp_path / "qmp")), meant)


def test_a_file_of_the_first_process_in_a_file_system_of_another_device(
    proc: Path, other: socket.socket, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mounts may be other ones, and are looked at last."""
    bind(listener, proc / "9/root/gone")
    bind(other, proc / "1/root/qmp")
    of_another_device(monkeypatch)
    assert "1/root/qmp is another socket by now" in refused(UnixSocket("/qmp"), process(proc, listener, Path("/qmp")))


def test_without_its_descriptors_its_command_line_leads_to_a_file(
    proc: Path, tmp_path: Path, listener: socket.socket
) -> None:
    bind(listener, tmp_path / "qmp")
    (proc / "9/fd").rmdir()
    (proc / "9/fd").touch()  # nobody can list it
    assert reached(UnixSocket(str(tmp_path / "qmp")), Process(9, 4711, proc), listener) == 1


@pytest.mark.parametrize("place", [UnixSocket("qmp"), TcpSocket("localhost", "4444"), InheritedSocket(3)])
def test_without_its_descriptors_its_command_line_leads_nowhere_else(place: Place, proc: Path) -> None:
    (proc / "9/fd").rmdir()
    (proc / "9/fd").touch()
    assert "the open files of process 9 may not be read; run as root" in refused(place, Process(9, 4711, proc))

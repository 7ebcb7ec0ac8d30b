"""Which of the sockets of a process is the monitor that a command line, or a user, names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.listening import Listener
from fakedirty.linux.process import Process
from fakedirty.qmp.address import AbstractSocket, InheritedSocket, TcpSocket, UnixSocket
from fakedirty.qmp.monitor_sockets import _ports, listeners_at, socket_files

EVERYWHERE, EVERYWHERE_6 = Listener(1, tcp=("0.0.0.0", 4444)), Listener(2, tcp=("::", 4444))
HERE, HERE_6 = Listener(3, tcp=("127.0.0.1", 4444)), Listener(4, tcp=("::1", 4444))
NEXT = Listener(5, tcp=("127.0.0.1", 4445))


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """One in our mounts, whose working directory is ``cwd`` of `tmp_path`."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "9").mkdir()
    (tmp_path / "9/cwd").symlink_to(tmp_path / "cwd")
    in_mounts(tmp_path, "mnt:[1]", "mnt:[1]")
    return Process(9, 4711, tmp_path)


def in_mounts(proc: Path, its: str, ours: str) -> None:
    for directory, name in ((proc / "9/ns", its), (proc / "self/ns", ours)):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "mnt").unlink(missing_ok=True)
        (directory / "mnt").symlink_to(name)


def at(place: TcpSocket, process: Process, *listeners: Listener) -> list[Listener]:
    return listeners_at(place, process, dict(enumerate(listeners, 3)))


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("", [EVERYWHERE, EVERYWHERE_6]),
        ("localhost", [HERE, HERE_6]),
        ("127.0.0.1", [HERE]),
        ("::ffff:127.0.0.1", [HERE]),
        ("0:0::1", [HERE_6]),
        ("127.0.0.2", []),
    ],
)
def test_a_host_is_where_qemu_listens_for_it(host: str, found: list[Listener], process: Process) -> None:
    place = TcpSocket(host, "4444")
    assert at(place, process, EVERYWHERE, EVERYWHERE_6, HERE, HERE_6, NEXT) == found


def test_a_range_of_ports_leads_to_the_one_that_was_free(process: Process) -> None:
    assert at(TcpSocket("127.0.0.1", "4440", 4450), process, NEXT) == [NEXT]
    with pytest.raises(QmpError, match="several sockets of QEMU may be this one"):
        at(TcpSocket("127.0.0.1", "4440", 4450), process, HERE, NEXT)


def test_only_one_socket_may_be_meant_by_a_name_that_another_resolved(process: Process) -> None:
    assert at(TcpSocket("vm.example", "4444"), process, HERE, NEXT) == [HERE]
    assert at(TcpSocket("vm.example", "4444"), process, HERE, HERE) == [HERE], "one socket, two descriptors"
    with pytest.raises(QmpError, match="several sockets of QEMU may be this one"):
        at(TcpSocket("vm.example", "4444"), process, HERE, HERE_6)


def test_nobody_listens_at_a_port_without_a_number(process: Process) -> None:
    assert at(TcpSocket("localhost", "no such service"), process, HERE, HERE_6) == []


def test_a_file_is_that_of_the_socket_that_was_bound_to_it(process: Process, tmp_path: Path) -> None:
    own = {
        3: Listener(11, str(tmp_path / "one").encode()),
        4: Listener(12, b"two"),
        5: Listener(13, b"@three"),
        6: Listener(14, str(tmp_path / "gone").encode()),
        7: Listener(15),
        8: HERE,
    }
    for name in ("one", "cwd/two", "cwd/@three", "other"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("one")
    assert listeners_at(tmp_path / "one", process, own) == [own[3]]
    assert listeners_at(tmp_path / "link", process, own) == [own[3]]
    assert listeners_at(tmp_path / "cwd/two", process, own) == [own[4]]
    assert listeners_at(tmp_path / "other", process, own) == []
    assert listeners_at(tmp_path / "cwd/@three", process, own) == [], "an abstract socket has no file"
    assert listeners_at(tmp_path / "cwd", process, own) == [], "nor has one without a name"


def test_an_abstract_name_is_filled_up_or_is_not(process: Process) -> None:
    own = {3: Listener(11, b"@qmp"), 4: Listener(12, b"@qmp".ljust(108, b"@")), 5: Listener(13, b"/qmp")}
    assert listeners_at(AbstractSocket("qmp"), process, own) == [own[3]]
    assert listeners_at(AbstractSocket("qmp", tight=False), process, own) == [own[4]]
    assert listeners_at(UnixSocket("/qmp"), process, own) == [own[5]]
    assert listeners_at(InheritedSocket(4), process, own) == [own[4]]
    assert listeners_at(InheritedSocket(6), process, own) == []


def test_its_own_mounts_come_first(process: Process, tmp_path: Path) -> None:
    ours, its, first = Path("/run/q"), tmp_path / "9/root/run/q", tmp_path / "1/root/run/q"
    assert list(socket_files("/run/q", process)) == [ours, its, first]
    in_mounts(tmp_path, "mnt:[2]", "mnt:[1]")
    assert list(socket_files("/run/q", process)) == [its, ours, first]


def test_a_relative_name_starts_where_the_process_started(process: Process, tmp_path: Path) -> None:
    assert list(socket_files("q", process)) == [tmp_path / "9/cwd/q"]
    (tmp_path / "9/environ").write_bytes(os.fsencode("HOME=/root\0PWD=/srv\0"))
    assert list(socket_files("q", process)) == [
        tmp_path / "9/cwd/q",
        Path("/srv/q"),
        tmp_path / "9/root/srv/q",
        tmp_path / "1/root/srv/q",
    ]


def test_a_service_that_nobody_knows_has_no_port(process: Process) -> None:
    assert listeners_at(TcpSocket("127.0.0.1", "no-such-service"), process, {3: HERE}) == []
    assert list(_ports(TcpSocket("127.0.0.1", "no-such-service"))) == []

"""Turns at a socket: given back when they are over, whoever is late."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.process import Process
from fakedirty.observe.host.migration_capabilities import read as facts
from fakedirty.observe.host.monitor_sharing import MonitorSharing
from fakedirty.observe.qmp_poller import QmpPoller
from fakedirty.qmp.address import AbstractSocket, Address, Domain, InheritedSocket, Place, TcpSocket, UnixSocket
from fakedirty.qmp.final_report import read as final_report
from fakedirty.qmp.peer import PeerError
from fakedirty.qmp.socket_clients import clients, free_first
from fakedirty.qmp.turn import in_turns, turn
from qmp_server import GREETING, qmp_server, requests


@contextmanager
def late_server(path: Path, silent: set[str]) -> Iterator[threading.Semaphore]:
    """Serves one client after the other, as QEMU does, and never answers a command that is `silent`.

    The semaphore counts those who have been served to their end.
    """
    served, over = threading.Semaphore(0), threading.Event()
    answers = {"query-commands": [{"name": "query-migrate"}], "query-status": {"status": "running"}}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            while not over.is_set():
                link, _ = listener.accept()
                with link:
                    try:
                        link.sendall(json.dumps(GREETING).encode() + b"\r\n")
                        for request in requests(link):
                            if (command := request["execute"]) not in silent:
                                found = {"return": answers.get(command, {}), "id": request.get("id")}
                                link.sendall(json.dumps(found).encode() + b"\r\n")
                    except OSError:
                        pass  # it has left
                served.release()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            over.set()
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(path))
            thread.join()


def managed(path: Path) -> bool:
    """Whether a manager that waits 5 s for its greeting gets it."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(path))
        return link.recv(100).startswith(b'{"QMP"')


def _polls(path: Path) -> None:
    poller = QmpPoller([Address(path)])
    poller._records.clear()
    for _ in range(2):
        poller.poll(2)


FIRST = Process(1, 0)  # not the one that serves: who answers has to say more of itself

USES = {
    "turn": ("query-status", lambda path: in_turns([Address(path)], lambda qmp: qmp.execute("query-status"), tries=2)),
    "poll": ("query-migrate", _polls),
    "report": ("query-migrate", lambda path: final_report([Address(path)], "completed")),
    "facts": ("query-version", lambda path: facts(Address(path))),
    "proof": ("query-uuid", lambda path: in_turns([Address(path, FIRST)], lambda qmp: None, tries=2)),
    "greeting": ("qmp_capabilities", lambda path: in_turns([Address(path)], lambda qmp: None, tries=2)),
}


@pytest.mark.parametrize("use", USES)
def test_a_manager_has_its_turn_while_qemu_does_not_answer(use: str, tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    silent, do = USES[use]
    with late_server(path, {silent}) as served:

        def run() -> None:
            with pytest.raises(QmpError) if use not in ("poll", "report") else _nothing():
                do(path)

        thread = threading.Thread(target=run)
        thread.start()
        assert managed(path)
        thread.join()
        assert served.acquire(timeout=5)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_what_fails_before_its_time_fails_at_once(tmp_path: Path) -> None:
    tried = []
    with pytest.raises(QmpError, match="no socket"):
        in_turns([Address(tmp_path / "none")], tried.append)
    path = tmp_path / "qmp"
    with qmp_server(path, {}), pytest.raises(QmpError, match="no command query-status"):
        in_turns([Address(path)], lambda qmp: (tried.append(qmp), qmp.execute("query-status")), seconds=60)
    assert len(tried) == 1


def test_who_is_not_the_process_that_is_meant_has_no_turn(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    answers = {
        "query-uuid": lambda _: {"UUID": "7a0f7f71-496e-4142-a1e5-ba5bd800390c"},
        "query-cpus-fast": lambda _: [],
    }
    others = pytest.raises(PeerError, match=r"no socket.*not shown to lead to process 1")
    with qmp_server(path, answers), others, turn([Address(tmp_path / "none"), Address(path, FIRST)]):
        pass


def test_a_turn_is_over_when_its_block_is(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with late_server(path, set()) as served:
        with turn([Address(tmp_path / "none"), Address(path)], 60) as qmp:
            assert qmp.execute("query-status") == {"status": "running"}
        assert served.acquire(timeout=5)
        assert qmp.closed


TABLE = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01   100 {a}
0000000000000000: 00000002 00000000 00010000 0001 01   200 {b}
0000000000000000: 00000003 00000000 00000000 0001 03   {x} {a}
0000000000000000: 00000003 00000000 00000000 0001 03     0 {b}
0000000000000000: 00000003 00000000 00000000 0001 03   {y} {b}
0000000000000000: 00000003 00000000 00000000 0001 03   104
"""


class Tables:
    """A process with two sockets, and who is served there at each check."""

    def __init__(self, directory: Path, a: str = "", b: str = "") -> None:
        self.path, self.process = directory, Process(9, 1, directory / "proc")
        self.a, self.b = a or str(directory / "a b"), b or str(directory / "b")
        for name in ("a b", "b"):
            (directory / name).touch()
        (self.process.directory / "net").mkdir(parents=True)
        (directory / "proc/self").mkdir()
        (self.process.directory / "cwd").symlink_to(directory)
        self.table()

    def table(self, a: int = 0, b: int = 0, others: int = 0) -> None:
        """By the inodes of those who are served (0: nobody is), and of one that another process serves."""
        rows = TABLE.format(a=self.a, b=self.b, x=a, y=b)
        rows += f"0000000000000000: 00000003 00000000 00000000 0001 03 {others} {self.a}\n"
        (self.process.directory / "net/unix").write_text(rows)
        files = self.process.directory / "fd"
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        for descriptor, inode in enumerate(filter(None, (100, 200, a, b))):
            (files / str(descriptor)).symlink_to(f"socket:[{inode}]")

    def at(self, *places: Place) -> tuple[Address, ...]:
        """Monitors of the process."""
        return tuple(Address(place, self.process) for place in places)

    @property
    def monitors(self) -> tuple[Address, ...]:
        """As its command line names them."""
        return self.at(UnixSocket(self.a), UnixSocket(self.b))

    def check(self, staying: MonitorSharing, a: int = 0, b: int = 0, others: int = 0) -> tuple[Address, ...]:
        """Where a connection may stay."""
        self.table(a, b, others)
        staying._checked = -1e9
        return staying.places()


def test_clients_of_a_socket_are_those_that_the_process_has_accepted(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    a, b = os.fsencode(tables.a), os.fsencode(tables.b)
    tables.table(a=101, others=300)
    assert clients(tables.process, {a, b}) == {a: {101}, b: frozenset()}
    assert clients(Process(8, 1, tmp_path / "proc"), {a}) == {a: frozenset()}


def test_a_change_begins_at_a_socket_that_serves_nobody(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    a, b = tables.monitors
    (tcp,) = tables.at(TcpSocket("localhost", "4444"))
    assert free_first([a, b]) == [a, b]
    tables.table(a=101)
    assert free_first([a, tcp, b]) == [tcp, b, a]
    assert free_first([a]) == [a]
    tables.table(a=101, b=102)
    assert free_first([a, b]) == [a, b]
    assert free_first([Address(tmp_path / "a b"), b]) == [Address(tmp_path / "a b"), b]  # whose it is, is not known


@pytest.mark.parametrize("relative", [False, True])
def test_a_connection_stays_only_while_somebody_is_served_at_another_socket(tmp_path: Path, relative: bool) -> None:
    tables = Tables(tmp_path, *(("a b", "b") if relative else ()))
    a, b = tables.monitors
    staying = MonitorSharing((a, b), (a, b))
    assert tables.check(staying) == ()
    assert tables.check(staying, a=7) == ()  # a visit, for all that is known
    assert tables.check(staying, a=8) == ()
    assert tables.check(staying, a=8) == (b,)
    assert tables.check(staying, a=8, b=9) == (b,)  # that one is ours
    assert tables.check(staying, a=0, b=9) == ()


def test_a_connection_does_not_stay_where_no_socket_is_free_or_only_one_is_known(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    both = MonitorSharing(tables.monitors, tables.monitors)
    named = MonitorSharing(tables.monitors[:1], tables.monitors)
    alone = MonitorSharing(tables.monitors[:1], tables.monitors[:1])
    for _ in range(3):
        assert tables.check(both, a=7, b=8) == ()
        assert tables.check(named, a=7) == ()  # the one that the user names is the manager's
        assert tables.check(alone, a=7) == ()
    assert tables.check(named, b=8) == ()
    assert tables.check(named, b=8) == tables.monitors[:1]


def test_who_is_served_at_a_socket_of_another_process_is_no_manager(tmp_path: Path) -> None:
    tables = Tables(tmp_path, "a", "b")  # a relative name, which others have, too
    staying = MonitorSharing(tables.monitors, tables.monitors)
    for _ in range(3):
        assert tables.check(staying, others=7) == ()


def test_one_socket_by_two_names_is_one(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    other = tmp_path / "link"
    other.symlink_to(tables.a)
    [named] = tables.at(other)
    alone = MonitorSharing([named], tables.monitors[:1])
    for _ in range(3):
        assert tables.check(alone, a=7) == ()
    second = MonitorSharing([named], tables.monitors)
    assert tables.check(second, b=7) == ()
    assert tables.check(second, b=7) == (named,)


def test_a_connection_does_not_stay_where_whom_it_would_lock_out_is_not_to_be_seen(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    proxy = tmp_path / "proxy"
    proxy.touch()
    for place in (proxy, TcpSocket("localhost", "4444")):
        staying = MonitorSharing(tables.at(place), tables.monitors)
        for _ in range(3):
            assert tables.check(staying, a=7) == ()


@pytest.mark.parametrize(("tight", "name"), [(True, "@a"), (False, "@a".ljust(108, "@"))])
def test_abstract_and_inherited_sockets_are_known_by_the_kernels_names(tight: bool, name: str, tmp_path: Path) -> None:
    tables = Tables(tmp_path, a=name)
    abstract, inherited = tables.at(AbstractSocket("a", tight), InheritedSocket(1))
    staying = MonitorSharing([abstract, inherited])
    assert tables.check(staying, a=7) == ()
    assert tables.check(staying, a=7) == (inherited,)


def test_a_socket_is_held_by_the_users_wish_and_libvirts_always(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    [domain] = tables.at(Domain("7a0f7f71-496e-4142-a1e5-ba5bd800390c"))
    assert tables.check(MonitorSharing(tables.monitors[1:], hold=True)) == tables.monitors[1:]
    assert tables.check(MonitorSharing([domain, *tables.monitors], tables.monitors)) == (domain,)

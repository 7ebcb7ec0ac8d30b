"""Turns at a socket: given back when they are over, whoever is late."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.observe.configuration import ask as facts
from fakedirty.observe.final_report import ask as final_report
from fakedirty.observe.qmp_level import QmpPoller
from fakedirty.observe.staying import Staying
from fakedirty.qmp.clients import clients
from fakedirty.qmp.monitor import Address
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
    poller = QmpPoller([path])
    poller._records.clear()
    for _ in range(2):
        poller.poll(2)


USES = {
    "turn": ("query-status", lambda path: in_turns([path], lambda qmp: qmp.execute("query-status"), tries=2)),
    "poll": ("query-migrate", _polls),
    "report": ("query-migrate", lambda path: final_report([path], "completed")),
    "facts": ("query-version", facts),
    "greeting": ("qmp_capabilities", lambda path: in_turns([path], lambda qmp: None, tries=2)),
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
        in_turns([tmp_path / "none"], tried.append)
    path = tmp_path / "qmp"
    with qmp_server(path, {}), pytest.raises(QmpError, match="no command query-status"):
        in_turns([path], lambda qmp: (tried.append(qmp), qmp.execute("query-status")))
    assert len(tried) == 1


def test_a_turn_is_over_when_its_block_is(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with late_server(path, set()) as served:
        with turn([tmp_path / "none", path]) as qmp:
            assert qmp.execute("query-status") == {"status": "running"}
        assert served.acquire(timeout=5)
        assert qmp.closed


TABLE = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 100 {a}
0000000000000000: 00000003 00000000 00000000 0001 03 {x} {a}
0000000000000000: 00000003 00000000 00000000 0001 03 0 {b}
0000000000000000: 00000003 00000000 00000000 0001 03 {y} {b}
0000000000000000: 00000003 00000000 00000000 0001 03 104
"""


def test_clients_of_a_socket_are_those_that_it_has_accepted(tmp_path: Path) -> None:
    table = tmp_path / "unix"
    table.write_text(TABLE.format(a="/run/a b", b="/run/b", x=101, y=0))
    assert clients(Path("/run/a b"), table) == {"101"}
    assert clients(Path("/run/b"), table) == frozenset()
    assert clients(Path("/run/b"), tmp_path / "none") == frozenset()


class Tables:
    """Two sockets, and who is served there at each check."""

    def __init__(self, directory: Path, named: int | None = None, *, hold: bool = False) -> None:
        self.a, self.b = directory / "a", directory / "b"
        self.a.touch()
        self.b.touch()
        self.table = directory / "unix"
        both: tuple[Address, ...] = (self.a, self.b)
        monitors = both if named is None else (both[named],)
        self.staying = Staying(monitors, both, hold=hold, table=self.table)

    def check(self, a: int = 0, b: int = 0) -> tuple[Address, ...]:
        """Where a connection may stay, by the inodes of those who are served (0: nobody is)."""
        self.table.write_text(TABLE.format(a=self.a, b=self.b, x=a, y=b))
        self.staying._checked = -1e9
        return self.staying.places()


def test_a_connection_stays_only_while_somebody_is_served_at_another_socket(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    assert tables.check() == ()
    assert tables.check(a=7) == ()  # a visit, for all that is known
    assert tables.check(a=8) == ()
    assert tables.check(a=8) == (tables.b,)
    assert tables.check(a=8, b=9) == (tables.b,)  # that one is ours
    assert tables.check(a=0, b=9) == ()


def test_a_connection_does_not_stay_where_no_socket_is_free_or_only_one_is_known(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    for _ in range(3):
        assert tables.check(a=7, b=8) == ()
    named = Tables(tmp_path, named=0)
    for _ in range(3):
        assert named.check(a=7) == ()  # the one that the user names is the manager's
    assert named.check(b=8) == ()
    assert named.check(b=8) == (named.a,)


def test_one_socket_by_two_names_is_one(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    other = tmp_path / "link"
    other.symlink_to(tables.a)
    alone = Staying([other], [tables.a], table=tables.table)
    tables.table.write_text(TABLE.format(a=tables.a, b=tables.b, x=7, y=0))
    for _ in range(3):
        alone._checked = -1e9
        assert alone.places() == ()


def test_a_socket_is_held_by_the_users_wish(tmp_path: Path) -> None:
    assert Tables(tmp_path, named=1, hold=True).check() == (tmp_path / "b",)

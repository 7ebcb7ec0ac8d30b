"""The listening sockets of a process, from tables of /proc as kernels write them; and sock_diag."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux import sock_diag
from fakedirty.linux.listening import TCP_ESTABLISHED, Listener, TcpRow, canonical_address, listeners, tcp_rows
from fakedirty.linux.process import Process
from fakedirty.qmp.address import AbstractSocket, Address, InheritedSocket, Place, TcpSocket, UnixSocket
from fakedirty.qmp.monitor import connect

UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
00000000b2d3a72a: 00000002 00000000 00010000 0001 01    11 /run/a b.qmp
00000000b2d3a72b: 00000003 00000000 00000000 0001 03    12 /run/a b.qmp
0000000000000000: 00000002 00000000 00010000 0001 01    13 @abstract
0000000000000000: 00000002 00000000 00010000 0005 01    14 /run/seqpacket
0000000000000000: 00000002 00000000 00010000 0001 01    15 relative.qmp
0000000000000000: 00000002 00000000 00010000 0001 01    16 /run/nobody's
0000000000000000: 00000003 00000000 00000000 0001 03    17
0000000000000000: 00000003 00000000 00000000 0001 03    18 /run/a 00010000 0001 01 b
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0 100 0 0 10 0
   1: 0100007F:115C 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 22 1 0 20 4 30 10 -1
   2: 0100007F:115C 0100007F:C004 01 00000000:00000000 00:00000000 00000000     0        0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 31 1 0
   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C002 01 0:0 00:0 0 0 0 32 1 0
   2: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:C003 01 0:0 00:0 0 0 0 33 1 0
"""


@pytest.fixture
def process(tmp_path: Path) -> Process:
    directory = tmp_path / "9"
    (directory / "net").mkdir(parents=True)
    (directory / "fd").mkdir()
    for name, text in (("unix", UNIX), ("tcp", TCP), ("tcp6", TCP6)):
        (directory / "net" / name).write_text(text)
    for descriptor, inode in ((3, 11), (4, 12), (5, 13), (6, 15), (7, 21), (8, 31), (9, 22), (10, 18)):
        (directory / "fd" / str(descriptor)).symlink_to(f"socket:[{inode}]")
    (directory / "fd/0").symlink_to("/dev/null")
    (directory / "stat").write_text("9 (qemu) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0")
    return Process(9, 4711, tmp_path)


def test_the_sockets_at_which_it_listens(process: Process) -> None:
    assert listeners(process) == {
        3: Listener(11, b"/run/a b.qmp"),
        5: Listener(13, b"@abstract"),
        6: Listener(15, b"relative.qmp"),
        7: Listener(21, tcp=("127.0.0.1", 4444)),
        8: Listener(31, tcp=("::", 8080)),
    }


def test_connections_by_tcp(process: Process) -> None:
    rows = {row.inode: row for row in tcp_rows(process, TCP_ESTABLISHED, {21, 22, 32, 33})}
    assert rows == {
        22: TcpRow(("127.0.0.1", 4444), ("127.0.0.1", 0xC001), 22),
        32: TcpRow(("127.0.0.1", 8080), ("127.0.0.1", 0xC002), 32),
        33: TcpRow(("2001:db8::1", 8080), ("2001:db8::2", 0xC003), 33),
    }
    assert [row.inode for row in tcp_rows(process, TCP_ESTABLISHED, {32})] == [32]
    assert canonical_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert canonical_address("fe80::1%eth0") == "fe80::1"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (UnixSocket("/run/nobody's"), "does not listen at"),
        (UnixSocket("/run/a b.qmp"), "its file cannot be found"),
        (UnixSocket("relative.qmp"), "its file cannot be found"),
        (AbstractSocket("other"), "does not listen at @other"),
        (AbstractSocket("abstract", tight=False), "does not listen at @abstract"),
        (InheritedSocket(4), "does not listen by descriptor 4"),
        (TcpSocket("localhost", "0"), "the kernel chose its port"),
        (TcpSocket("localhost", "4443"), "does not listen at"),
        (TcpSocket("127.0.0.2", "4444"), "does not listen at"),
        (TcpSocket("", "4444"), "does not listen at"),
        (TcpSocket("elsewhere", "4444", 8080), "several sockets of QEMU"),
    ],
)
def test_what_is_not_reachable_says_why(place: Place, why: str, process: Process) -> None:
    with pytest.raises(QmpError, match=f"{place} is not reachable: .*{why}"):
        connect(Address(place, process))


def test_a_process_that_has_ended_says_so(process: Process) -> None:
    with pytest.raises(QmpError, match="has ended"):
        connect(Address(UnixSocket("/x"), Process(9, 4712, process.proc)))


def test_the_other_end_of_a_connection() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert sock_diag.peer(os.fstat(one.fileno()).st_ino) == os.fstat(other.fileno()).st_ino
    with socket.socket(socket.AF_UNIX) as alone:
        assert sock_diag.peer(os.fstat(alone.fileno()).st_ino) is None
    assert sock_diag.peer(1) is None


def test_a_connection_that_nobody_has_accepted_has_no_other_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        client.connect(str(tmp_path / "s"))
        inode = os.fstat(client.fileno()).st_ino
        assert sock_diag.peer(inode) is None
        accepted, _ = listener.accept()
        with accepted:
            assert sock_diag.peer(inode) == os.fstat(accepted.fileno()).st_ino


def test_the_file_of_a_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as nameless:
        listener.bind(str(tmp_path / "s"))
        status = (tmp_path / "s").stat()
        found = sock_diag.file_of(os.fstat(listener.fileno()).st_ino)
        assert found
        assert found.inode == status.st_ino & 0xFFFFFFFF
        assert sock_diag.file_of(os.fstat(nameless.fileno()).st_ino) is None


def test_the_unit_of_the_service_lets_it_look_at_sockets() -> None:
    """Without netlink no peer is proven by its socket."""
    unit = (Path(__file__).parents[3] / "packaging/fakedirty.service").read_text()
    [allowed] = re.findall(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    assert {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"} <= set(allowed.split())


def test_without_netlink_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    one, other = socket.socketpair()
    with one, other:
        monkeypatch.setattr(sock_diag.socket, "socket", refuse)
        assert sock_diag.peer(os.fstat(one.fileno()).st_ino) is None
        assert sock_diag.file_of(os.fstat(one.fileno()).st_ino) is None
        monkeypatch.undo()


def test_links_lead_from_the_root_of_the_process(process: Process, tmp_path: Path) -> None:
    root = tmp_path / "9/root"
    (root / "run/vm").mkdir(parents=True)
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run")
    (root / "run/up").symlink_to("../../../var/run/vm")
    (root / "run/round").symlink_to("round")
    assert process.resolve("/var/run/a") == root / "run/a"
    assert process.resolve("/run/up/./a") == root / "run/vm/a"
    assert process.resolve("/../none/a") == root / "none/a"
    assert process.resolve("/run/round") == root / "run/round"

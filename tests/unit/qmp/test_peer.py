"""Proofs that a QEMU behind a proxy or behind libvirt is a process, and answers that prove nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakedirty.linux.process import Process, start_ticks
from fakedirty.qmp import peer
from fakedirty.qmp.address import AbstractSocket, Address, Domain, Place, TcpSocket, UnixSocket
from fakedirty.qmp.connect import Link
from fakedirty.qmp.monitor import connect
from fakedirty.qmp.peer import PeerError, doubt_after_greeting, doubt_by_threads
from qmp_server import qmp_server

UUID = "7a0f7f71-496e-4142-a1e5-ba5bd800390c"
NO_UUID = "00000000-0000-0000-0000-000000000000"
WHOLE_HOST = "pid:[4026531836]"


def process(proc: Path, pid: int, threads: dict[int, str], *words: str, program: str = "qemu") -> Process:
    """`threads` are the ids in every pid namespace, the innermost last, by the outermost."""
    directory = proc / str(pid)
    for thread, ids in threads.items():
        (directory / "task" / str(thread)).mkdir(parents=True)
        text = f"Name:\tCPU 0/TCG\nPid:\t{thread}\n" + (f"NSpid:\t{ids}\n" if ids else "") + "Threads:\t2\n"
        (directory / "task" / str(thread) / "status").write_text(text)
    (directory / "stat").write_text(f"{pid} (qemu) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0")
    (directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in (program, *words)))
    return Process(pid, 4711, proc)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/stat").touch()
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(WHOLE_HOST)
    return tmp_path


def doubt(meant: Process, vcpus: Any, uuid: str = UUID) -> str:
    answers = {"query-uuid": {"UUID": uuid}, "query-cpus-fast": vcpus}
    return doubt_by_threads(Domain(UUID), meant, answers.__getitem__)


def vcpus(*threads: int) -> list[dict[str, object]]:
    return [{"cpu-index": number, "thread-id": thread} for number, thread in enumerate(threads)]


def test_threads_of_the_process(proc: Path) -> None:
    meant = process(proc, 100, {100: "100", 101: "101", 102: "102"}, "-uuid", UUID.upper())
    assert doubt(meant, vcpus(101, 102)) == ""
    assert doubt(meant, vcpus(102, 102)) == ""


def test_threads_as_a_container_numbers_them(proc: Path) -> None:
    meant = process(proc, 100, {100: "100\t7\t1", 101: "101\t8\t2"}, "-uuid", UUID)
    assert doubt(meant, vcpus(2)) == ""
    for outside in (101, 8):
        assert "not threads of process 100" in doubt(meant, vcpus(outside))


def test_a_kernel_without_pid_namespaces(proc: Path) -> None:
    meant = process(proc, 100, {100: "", 101: ""}, "-uuid", UUID)
    assert doubt(meant, vcpus(101)) == ""


def test_no_vcpu_is_no_proof(proc: Path) -> None:
    meant = process(proc, 100, {100: "100"}, "-uuid", UUID)
    assert "no vCPU" in doubt(meant, [])


def test_another_uuid_is_another_guest(proc: Path) -> None:
    meant = process(proc, 100, {100: "100", 101: "101"}, "-uuid", UUID)
    assert f"the UUID {NO_UUID}" in doubt(meant, vcpus(101), NO_UUID)


def test_threads_of_another(proc: Path) -> None:
    """The other side of a migration within the host has the same name and the same UUID."""
    meant = process(proc, 100, {100: "100", 101: "101"}, "-uuid", UUID, "-name", "web")
    process(proc, 200, {200: "200", 201: "201"}, "-uuid", UUID, "-name", "web")
    assert "not threads of process 100" in doubt(meant, vcpus(201))
    assert "not threads of process 100" in doubt(meant, vcpus(101, 201))


@pytest.mark.parametrize("words", [("-uuid", UUID), ()], ids=["with a UUID", "without one"])
def test_two_that_could_be_meant_are_no_proof(words: tuple[str, ...], proc: Path) -> None:
    meant = process(proc, 100, {100: "100\t1", 101: "101\t2"}, *words, "-machine", "pc")
    process(proc, 200, {200: "200\t1", 201: "201\t2"}, *words, "-machine", "pc")
    assert "process 100 or 200" in doubt(meant, vcpus(2), UUID if words else NO_UUID)


def test_a_twin_whose_configuration_is_a_file_is_one(proc: Path) -> None:
    meant = process(proc, 100, {100: "100\t1", 101: "101\t2"}, "-machine", "pc")
    process(proc, 200, {200: "200\t1", 201: "201\t2"}, "-nographic", "-readconfig", "vm.cfg")
    assert "process 100 or 200" in doubt(meant, vcpus(2), NO_UUID)


@pytest.mark.parametrize(
    "words",
    [
        *("-accel kvm", "-chardev null,id=a", "-cpu host", "-device e1000", "-display none", "-drive file=a.img"),
        *("-enable-kvm", "-kernel vmlinuz", "-m 2G", "-M q35", "-machine pc", "-mon a", "-monitor stdio", "-name web"),
        *("-nodefaults", "-qmp stdio", "-qmp-pretty stdio", "-readconfig vm.cfg", "-S", "-smp 2", "--smp 2"),
    ],
)
def test_a_twin_is_one_by_any_option_that_a_qemu_with_vcpus_has(words: str, proc: Path) -> None:
    meant = process(proc, 100, {100: "100\t1", 101: "101\t2"}, "-machine", "pc")
    process(proc, 200, {200: "200\t1", 201: "201\t2"}, *words.split())
    assert "process 100 or 200" in doubt(meant, vcpus(2), NO_UUID)


@pytest.mark.parametrize("value", [f"type=1,uuid={UUID}", f"uuid={UUID.upper()},serial=7,type=1"])
def test_a_uuid_by_smbios_is_one(value: str, proc: Path) -> None:
    meant = process(proc, 100, {100: "100", 101: "101"}, "-smbios", value)
    assert meant.uuid == UUID
    assert f"the UUID {NO_UUID}" in doubt(meant, vcpus(101), NO_UUID)
    assert process(proc, 200, {200: "200"}, "-smbios", f"type=2,uuid={UUID}", "-smbios", "type=1,serial=7").uuid is None


def test_other_programs_and_other_guests_are_no_candidates(proc: Path) -> None:
    meant = process(proc, 100, {100: "100\t1", 101: "101\t2"}, "-machine", "pc")
    process(proc, 200, {200: "200\t1", 201: "201\t2"}, "-jar", "server.jar", program="java")
    process(proc, 300, {300: "300\t1", 301: "301\t2"}, "-machine", "pc", "-uuid", UUID)
    assert doubt(meant, vcpus(2), NO_UUID) == ""


def test_without_a_uuid_the_whole_host_has_to_be_seen(proc: Path) -> None:
    meant = process(proc, 100, {100: "100\t1", 101: "101\t2"}, "-machine", "pc")
    (proc / "self/ns/pid").unlink()
    (proc / "self/ns/pid").symlink_to("pid:[4026532999]")
    assert "cannot be seen from here" in doubt(meant, vcpus(2), NO_UUID)


def test_without_a_uuid_others_may_not_be_hidden(proc: Path) -> None:
    """With hidepid=1, there is an entry for each of them, and nothing of it may be read."""
    meant = process(proc, 100, {100: "100", 101: "101"}, "-machine", "pc")
    assert doubt(meant, vcpus(101), NO_UUID) == ""
    (proc / "1/stat").unlink()
    assert "cannot be seen from here" in doubt(meant, vcpus(101), NO_UUID)


def test_an_id_that_is_anothers_by_now_is_no_proof(proc: Path) -> None:
    process(proc, 100, {100: "100", 101: "101"}, "-uuid", UUID)
    assert "has ended" in doubt(Process(100, 4710, proc), vcpus(101))


def itself(pid: int | str = "self") -> Process:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return Process(int(stat.split()[0]), start_ticks(stat))


@pytest.fixture
def child() -> Iterator[Process]:
    """Another process, which answers nothing."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield itself(process.pid)
        process.kill()


def free(family: socket.AddressFamily, host: str) -> int:
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("kind", ["unix", "abstract", "padded", "tcp", "tcp6"])
def test_its_own_sockets_prove_a_process(kind: str, tmp_path: Path) -> None:
    """Nothing but the greeting is needed: this one answers no question."""
    at: Path | bytes | tuple[str, int]
    place: Place
    match kind:
        case "unix":
            at, place = tmp_path / "qmp", UnixSocket(str(tmp_path / "qmp"))
        case "abstract":
            at, place = f"\0{tmp_path}".encode(), AbstractSocket(str(tmp_path))
        case "padded":
            at, place = f"\0{tmp_path}".encode().ljust(108, b"\0"), AbstractSocket(str(tmp_path), tight=False)
        case _:
            family, host = (socket.AF_INET, "127.0.0.1") if kind == "tcp" else (socket.AF_INET6, "::1")
            at = host, free(family, host)
            place = TcpSocket(host, str(at[1]))
    with qmp_server(at, {"echo": dict}), connect(Address(place, itself())) as monitor:
        assert monitor.execute("echo") == {}


def test_a_socket_of_another_is_refused_and_its_owner_named(child: Process, tmp_path: Path) -> None:
    commands: list[str] = []
    answers = {
        "query-uuid": lambda _: commands.append("uuid") or {"UUID": NO_UUID},
        "query-cpus-fast": lambda _: vcpus(os.getpid()),
        "migrate-set-parameters": lambda _: commands.append("set"),
    }
    with (
        qmp_server(tmp_path / "qmp", answers),
        pytest.raises(PeerError, match=rf"process {child.pid}: process {os.getpid()} \(.* answers; its vCPUs"),
    ):
        connect(Address(tmp_path / "qmp", child))
    assert commands == ["uuid"]


def test_a_proxy_of_its_own_threads_is_used(child: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the test can be a proxy: it answers as the child would, and names its only thread.

    The proxy is searched for among the files of the whole host only where it has to be reported.
    """
    monkeypatch.setattr(peer, "_owners", lambda *_: pytest.fail("looked for"))
    answers = {"query-uuid": lambda _: {"UUID": NO_UUID}, "query-cpus-fast": lambda _: vcpus(child.pid), "echo": dict}
    with qmp_server(tmp_path / "qmp", answers), connect(Address(tmp_path / "qmp", child)) as monitor:
        assert monitor.execute("echo") == {}


def test_a_peer_that_does_not_say_who_it_is_is_refused(child: Process, tmp_path: Path) -> None:
    with qmp_server(tmp_path / "qmp", {}), pytest.raises(PeerError, match="no command query-uuid"):
        connect(Address(tmp_path / "qmp", child))


def test_a_process_that_started_at_another_time_is_not_proven(tmp_path: Path) -> None:
    other = Process(os.getpid(), itself().start_ticks - 1)
    with qmp_server(tmp_path / "qmp", {}), pytest.raises(PeerError, match="has ended"):
        connect(Address(tmp_path / "qmp", other))


@pytest.fixture
def tcp(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection at an address of this host: the client's, and that of who accepted it."""
    host = request.param
    with (
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener,
        socket.socket(listener.family) as client,
    ):
        listener.bind((host, 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            yield client, accepted


LOOPBACK = pytest.mark.parametrize("tcp", ["127.0.0.1", "127.0.0.2", "::1"], indirect=True)


def with_connection(proc: Path, network: str, local: socket.socket, remote: socket.socket) -> Process:
    """Process 100 of a network namespace, whose table has an open connection from one socket's address to another's."""
    found = process(proc, 100, {100: "100"})
    for directory, name in ((proc / "100/ns", network), (proc / "self/ns", "net:[1]")):
        directory.mkdir(exist_ok=True)
        (directory / "net").symlink_to(name)
    (proc / "100/fd").mkdir()
    (proc / "100/fd/3").symlink_to("socket:[77]")
    (proc / "100/net").mkdir()
    table = "tcp6" if local.family == socket.AF_INET6 else "tcp"
    row = f"0: {in_table(local)} {in_table(remote)} 01 0:0 00:0 0 0 0 77 1 0"
    (proc / "100/net" / table).write_text(f"  sl  local_address remote_address\n{row}\n")
    return found


def in_table(end: socket.socket) -> str:
    """The address of a socket as /proc/net/tcp has it: 32-bit words in the byte order of the host."""
    host, port, *_ = end.getsockname()
    raw = socket.inet_pton(end.family, host)
    words = [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


@LOOPBACK
def test_the_other_end_of_a_tcp_connection_is_a_proof(tcp: tuple[socket.socket, socket.socket], proc: Path) -> None:
    client, accepted = tcp
    assert peer.doubt(Link(client), with_connection(proc, "net:[1]", accepted, client)) is None


@LOOPBACK
def test_the_same_addresses_in_another_network_are_no_proof(
    tcp: tuple[socket.socket, socket.socket], proc: Path
) -> None:
    """A container has a loopback network of its own, in which it can open a connection between any two ports."""
    client, accepted = tcp
    meant = with_connection(proc, "net:[2]", accepted, client)
    reason = peer.doubt(Link(client), meant)
    assert reason
    assert reason() == "the process that answers cannot be seen"
    assert peer.doubt(Link(client, network=meant), meant) is None, "the connection was made in its network"


class End(socket.socket):
    """One end of a TCP connection between addresses that this host does not have."""

    def __init__(self, local: tuple[str, int], remote: tuple[str, int]) -> None:
        super().__init__(socket.AF_INET6 if ":" in local[0] else socket.AF_INET)
        self._addresses = local, remote

    def getsockname(self) -> tuple[str, int]:
        return self._addresses[0]

    def getpeername(self) -> tuple[str, int]:
        return self._addresses[1]


@pytest.mark.parametrize(
    ("host", "proven"), [("192.0.2.7", True), ("2001:db8::7", True), ("127.255.0.1", False), ("::1", False)]
)
def test_an_address_that_all_networks_share_is_a_proof_from_another(host: str, proven: bool, proc: Path) -> None:
    """Only loopback addresses exist in each network namespace."""
    ends = (host, 50000), (host, 4444)
    with End(*ends) as client, End(*reversed(ends)) as accepted:
        doubts = peer.doubt(Link(client), with_connection(proc, "net:[2]", accepted, client))
    assert (doubts is None) == proven


@LOOPBACK
def test_another_connection_of_the_process_is_no_proof(tcp: tuple[socket.socket, socket.socket], proc: Path) -> None:
    client, accepted = tcp
    with socket.create_server((client.getsockname()[0], 0), family=client.family) as third:
        assert peer.doubt(Link(client), with_connection(proc, "net:[1]", accepted, third))


def test_where_the_peer_cannot_be_seen_the_owner_of_the_socket_is_named(proc: Path, tmp_path: Path) -> None:
    meant = with_socket(proc)
    (proc / str(os.getpid())).mkdir()
    (proc / str(os.getpid()) / "cmdline").write_bytes(b"proxy\0--qmp\0")
    with qmp_server(tmp_path / "qmp", {}), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "qmp"))
        assert client.recv(1)
        reason = peer.doubt(Link(client), meant)
    assert reason
    assert reason() == (
        f"the process that answers cannot be seen; the socket was opened by process {os.getpid()} (proxy --qmp)"
    )


def with_socket(proc: Path) -> Process:
    """Process 100, with one open socket that is at the end of no connection of ours."""
    found = process(proc, 100, {100: "100"})
    (proc / "100/fd").mkdir()
    (proc / "100/fd/3").symlink_to("socket:[1]")
    (proc / "100/ns").mkdir()
    for directory in ("100", "self"):
        (proc / directory / "ns/net").symlink_to("net:[1]")
    return found


def test_a_greeting_may_come_until_the_deadline(proc: Path) -> None:
    client, server = socket.socketpair()
    with client, server:
        meant, began = with_socket(proc), time.monotonic()
        with pytest.raises(TimeoutError):
            doubt_after_greeting(Link(client), meant, began - 1)
        assert time.monotonic() < began + 5, "it is over already"
        greets = threading.Timer(0.1, server.send, (b"{",))
        greets.start()
        assert doubt_after_greeting(Link(client), meant, time.monotonic() + 30)
        greets.join()

"""Proves that a connection leads to the right process, before the connection is used.

A path, a name or a UUID proves nothing: it may lead to another QEMU in another namespace, after another bind, or while
a guest migrates within a host. There are two proofs:

- the other end of the connection is a socket that the process has open;
- where something stands between (a proxy, libvirt): the vCPUs of the QEMU that answers are threads of the process, and
  could be threads of no other.
"""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.linux import sock_diag
from fakedirty.linux.listening import TCP_ESTABLISHED, canonical_address, tcp_rows
from fakedirty.linux.network_namespace import in_network_of
from fakedirty.linux.process import Process, other_processes

from .address import Place
from .connect import Link
from .holder import peer_of
from .validation import parsing_answers

_WHOLE_HOST = "pid:[4026531836]"  # the kernel's number for the first pid namespace
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

# a QEMU that has a vCPU has at least one of these options
_OPTIONS = {
    *("accel", "chardev", "cpu", "device", "display", "drive", "enable-kvm", "kernel", "m", "M", "machine", "mon"),
    *("monitor", "name", "nodefaults", "qmp", "qmp-pretty", "readconfig", "S", "smp"),
}

Execute = Callable[[str], Any]
Reason = Callable[[], str]


class PeerError(QmpError):
    """The peer is not proven to be the right process: the connection is not used."""


def doubt(link: Link, process: Process) -> Reason | None:
    """Check by its open sockets that a process is at the other end of an accepted connection.

    Returns:
        None where that is proven; else a function that returns the reason. Calling it takes time: it searches the open
        files of the whole host.
    """
    own = process.sockets()
    if own is None:
        return lambda: f"the open files of {process} may not be read"
    unix = link.socket.family == socket.AF_UNIX
    inode = _unix_peer(link) if unix else _tcp_peer(link, process, set(own.values()))
    if inode is not None and inode in own.values():
        return None if process.runs else lambda: f"{process} has ended"
    opened_by = _opener(link) if unix else 0
    return lambda: _described(inode, opened_by, process.proc)


def doubt_after_greeting(link: Link, process: Process, deadline: float) -> Reason | None:
    """:func:`doubt` once the peer has begun to greet, because until then nobody may have accepted the connection.

    Raises:
        TimeoutError: no greeting arrived before the deadline, in seconds of ``time.monotonic()``.
    """
    greeting = select.poll()
    greeting.register(link.socket, select.POLLIN)
    if not greeting.poll(max(deadline - time.monotonic(), 0) * 1000):
        raise TimeoutError
    return doubt(link, process)


def _opener(link: Link) -> int:
    """Id of the process that called listen(); 0 where that cannot be seen from here."""
    raw = link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


def _unix_peer(link: Link) -> int | None:
    """The inode of the other end; None where the kernel does not report it."""
    inode = os.fstat(link.socket.fileno()).st_ino
    try:
        return in_network_of(link.network, lambda: sock_diag.peer(inode))
    except OSError:
        return None


def _tcp_peer(link: Link, process: Process, own: Collection[int]) -> int | None:
    """The inode of the other end if it is one of the process's `own` sockets; else None."""
    here, there = (
        (canonical_address(host), port) for host, port, *_ in (link.socket.getsockname(), link.socket.getpeername())
    )
    if link.network is None and not process.shares("net") and ipaddress.ip_address(there[0]).is_loopback:
        return None  # the same addresses mean another machine there
    for row in tcp_rows(process, TCP_ESTABLISHED, own):
        if (row.local, row.remote) == (there, here):
            return row.inode
    return None


def _described(inode: int | None, opened_by: int, proc: Path) -> str:
    """The process at the other end, as far as it can be found."""
    if inode is not None and (owners := [str(peer_of(pid, proc)) for pid in _owners(inode, proc)]):
        return f"{' and '.join(owners)} answers"
    if opened_by:
        return f"the process that answers cannot be seen; the socket was opened by {peer_of(opened_by, proc)}"
    return "the process that answers cannot be seen"


def _owners(inode: int, proc: Path) -> list[int]:
    """Ids of the processes that have a socket open, of those whose open files may be read."""
    wanted = f"socket:[{inode}]"
    found = []
    for entry in os.listdir(proc):
        if entry.isdigit() and wanted in _links(proc / entry / "fd"):
            found.append(int(entry))
    return sorted(found)


def _links(directory: Path) -> Iterable[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(directory / name)
        except OSError:
            continue


def doubt_by_threads(place: Place, process: Process, execute: Execute) -> str:
    """Check by its vCPU threads that the QEMU which answers is the process, and no other.

    Args:
        place: the monitor, for messages.
        process: the process that has to answer.
        execute: executes a QMP command without arguments.

    Returns:
        Empty where that is proven; else the reason, a clause.
    """
    with parsing_answers(place):
        uuid = str(execute("query-uuid")["UUID"]).lower()
        vcpus = {int(vcpu["thread-id"]) for vcpu in execute("query-cpus-fast")}
    own = process.uuid
    if own is not None and own != uuid:
        return f"its guest has the UUID {uuid}, that of {process} has {own}"
    if not vcpus:
        return "it has no vCPU whose thread could prove it"
    if not vcpus <= process.threads():
        return f"its vCPUs are not threads of {process}"
    if own is None and not _sees_all(process.proc):
        return "it has no UUID, and there may be processes that cannot be seen from here"
    if twins := [each.pid for each in other_processes(process) if _is_twin(each, process, uuid, vcpus)]:
        return f"its vCPUs could be threads of process {' or '.join(map(str, [process.pid, *twins]))}"
    return "" if process.runs else f"{process} has ended"


def _is_twin(other: Process, process: Process, uuid: str, vcpus: set[int]) -> bool:
    """Whether the answers fit another process too: thread ids are unique within one pid namespace only."""
    arguments = other.arguments()
    if process.uuid is not None:
        alike = uuid in " ".join(arguments).lower()
    else:
        options = {argument.lstrip("-") for argument in arguments if argument.startswith("-")}
        alike = not _OPTIONS.isdisjoint(options) and other.uuid in (None, uuid)
    return alike and vcpus <= other.threads()


def _sees_all(proc: Path) -> bool:
    """Whether every process of the host can be seen: in the first pid namespace, with no processes hidden by user."""
    try:
        (proc / "1/stat").read_bytes()
        return os.readlink(proc / "self/ns/pid") == _WHOLE_HOST
    except OSError:
        return False


def refusal(place: Place, process: Process, reasons: Iterable[str]) -> PeerError:
    """The error for a peer that is not proven, with the reasons that are not empty."""
    why = "; ".join(reason for reason in reasons if reason)
    return PeerError(f"{place} is not used, as it is not shown to lead to {process}: {why}")

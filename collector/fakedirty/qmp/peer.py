"""Who answers: the proof that a connection leads to the process that is meant.

A path, a name and a UUID are no proof: they lead to another QEMU in another namespace, after another bind, or while a
guest moves within a host. Two things are: that the other end of the connection is a socket that the process has open;
and, where somebody stands between (a proxy, libvirt), that the vCPUs of the QEMU that answers are threads of the
process, and of no other.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.linux import sock_diag
from fakedirty.linux.listening import TCP_ESTABLISHED, plain, tcp_rows
from fakedirty.linux.network_namespace import within
from fakedirty.linux.process import Process, others

from .address import Place
from .connect import Link
from .holder import peer_of
from .validation import understanding

_WHOLE_HOST = "pid:[4026531836]"  # the kernel's own number for the first pid namespace
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

# options of QEMU, one of which a QEMU that has a vCPU may be expected to have
_OPTIONS = {
    *("accel", "chardev", "cpu", "device", "display", "drive", "enable-kvm", "kernel", "m", "M", "machine", "mon"),
    *("monitor", "name", "nodefaults", "qmp", "qmp-pretty", "readconfig", "S", "smp"),
}

Execute = Callable[[str], Any]
Reason = Callable[[], str]


class PeerError(QmpError):
    """What answers is not shown to be the process that is meant: it is not used."""


def doubt(link: Link, process: Process) -> Reason | None:
    """None where the other end of a connection, which has been accepted, is a socket of the process; else why not.

    The reason is worked out when it is called for: that looks through the open files of the whole host.
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


def _opener(link: Link) -> int:
    """The process that listened first; 0 where that cannot be seen from here."""
    raw = link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


def _unix_peer(link: Link) -> int | None:
    """The inode of the other end; None where that is not said."""
    inode = os.fstat(link.socket.fileno()).st_ino
    try:
        return within(link.network, lambda: sock_diag.peer(inode))
    except OSError:
        return None


def _tcp_peer(link: Link, process: Process, own: Collection[int]) -> int | None:
    """The inode of the other end if it is one of the process's own; else None."""
    here, there = ((plain(host), port) for host, port, *_ in (link.socket.getsockname(), link.socket.getpeername()))
    if link.network is None and not process.shares("net") and _loops(there[0]):
        return None  # the same addresses mean another machine there
    for row in tcp_rows(process, TCP_ESTABLISHED, own):
        if (row.local, row.remote) == (there, here):
            return row.inode
    return None


def _loops(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _described(inode: int | None, opened_by: int, proc: Path) -> str:
    """Who is at the other end, as far as that is found out."""
    if inode is not None and (owners := [str(peer_of(pid, proc)) for pid in _owners(inode, proc)]):
        return f"{' and '.join(owners)} answers"
    if opened_by:
        return f"who answers is not to be seen; the socket was opened by {peer_of(opened_by, proc)}"
    return "who answers is not to be seen"


def _owners(inode: int, proc: Path) -> list[int]:
    """The processes that have a socket open, as far as they may be looked at."""
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
    """Empty where the QEMU that answers has its vCPUs in the process, and in no other; else why that is not shown."""
    with understanding(place):
        uuid = str(execute("query-uuid")["UUID"]).lower()
        vcpus = {int(vcpu["thread-id"]) for vcpu in execute("query-cpus-fast")}
    own = process.uuid
    if own is not None and own != uuid:
        return f"its guest has the UUID {uuid}, that of {process} has {own}"
    if not vcpus:
        return "it has no vCPU by whose thread it could be known"
    if not vcpus <= process.threads():
        return f"its vCPUs are not threads of {process}"
    if own is None and not _sees_all(process.proc):
        return "it has no UUID, and there may be processes that cannot be seen from here"
    if twins := [each.pid for each in others(process) if _is_twin(each, process, uuid, vcpus)]:
        return f"its vCPUs could be threads of process {' or '.join(map(str, [process.pid, *twins]))}"
    return "" if process.runs else f"{process} has ended"


def _is_twin(other: Process, process: Process, uuid: str, vcpus: set[int]) -> bool:
    """Whether the same could be said of another process: ids of threads are unique in a pid namespace alone."""
    words = other.words()
    if process.uuid is not None:
        alike = uuid in " ".join(words).lower()
    else:
        options = {word.lstrip("-") for word in words if word.startswith("-")}
        alike = not _OPTIONS.isdisjoint(options) and other.uuid in (None, uuid)
    return alike and vcpus <= other.threads()


def _sees_all(proc: Path) -> bool:
    """Whether every process of the host is to be seen: in the first pid namespace, and not hidden by user."""
    try:
        (proc / "1/stat").read_bytes()
        return os.readlink(proc / "self/ns/pid") == _WHOLE_HOST
    except OSError:
        return False


def refusal(place: Place, process: Process, reasons: Iterable[str]) -> PeerError:
    """That what answers is not used."""
    why = "; ".join(reason for reason in reasons if reason)
    return PeerError(f"{place} is not used, as it is not shown to lead to {process}: {why}")

"""Finds a way to a monitor and connects to it, or reports the obstacle."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import QmpError
from fakedirty.harmless import harmless
from fakedirty.linux import sock_diag
from fakedirty.linux.listening import Listener, listeners, tcp_waiting
from fakedirty.linux.network_namespace import in_network_of
from fakedirty.linux.process import Process

from .address import AbstractSocket, InheritedSocket, Place, TcpSocket, UnixSocket, Unreachable
from .holder import describe_holder
from .monitor_sockets import SUN_PATH, listeners_at, socket_files

RETRY_SECONDS = 0.05
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Link:
    """A connected socket; it belongs to the network namespace of the process `network` (None: our own)."""

    socket: socket.socket
    network: Process | None = None


Route = Callable[[float], Link]  # connects before a deadline, in seconds of time.monotonic()
Queue = Callable[[], int]  # number of clients that wait at a socket


def routes(place: Place, process: Process | None) -> Iterator[Route]:
    """The ways to connect to a place, the likeliest first.

    Raises:
        QmpError: there is none; the message has the reason.
    """
    match place:
        case Path():
            queue = _queue_at(place, process)
            yield lambda deadline: Link(_connect_file(place, str(place), deadline, queue))
        case Unreachable():
            raise QmpError(f"{place} is not reachable: {harmless(place.why)}")
        case UnixSocket() | AbstractSocket() | InheritedSocket() | TcpSocket() if process is not None:
            own = listeners(process)
            if own is None:
                yield from _by_command_line(place, process)
            else:
                yield from _by_sockets(place, process, own)
        case _:
            raise QmpError(f"{place} is no socket")


def _queue_at(path: Path, process: Process | None) -> Queue:
    if process is None or not (found := listeners_at(path, process, listeners(process) or {})):
        return lambda: 0
    return queue_of(found[0], process)


def queue_of(listener: Listener, process: Process) -> Queue:
    """A function that counts the clients that wait at a socket.

    QEMU's queue has room for two clients. A client that leaves without being served stays in the queue, so one that
    joins a queue in which somebody waits would lock others out.
    """

    def waiting() -> int:
        if listener.tcp:
            return tcp_waiting(process, listener.inode)
        try:
            return in_network_of(process, lambda: sock_diag.waiting(listener.inode))
        except OSError:
            return 0

    return waiting


def _by_command_line(place: Place, process: Process) -> Iterator[Route]:
    """Where the descriptors of the process may not be read, its command line is all that is known."""
    if isinstance(place, UnixSocket) and place.path.startswith("/"):
        path = Path(place.path)
        yield lambda deadline: Link(_connect_file(path, str(place), deadline))
    else:
        raise QmpError(f"{place} is not reachable: the open files of {process} may not be read; run as root")


def _by_sockets(place: Place, process: Process, own: dict[int, Listener]) -> Iterator[Route]:
    found = listeners_at(place, process, own)
    if not found:
        wanted = f"by {place}" if isinstance(place, InheritedSocket) else f"at {place}"
        state = "does not listen" if process.runs else "has ended and listens no more"
        raise QmpError(f"{place} is not reachable: {process} {state} {wanted}")
    for listener in found:
        yield from _routes_to(listener, str(place), process)


def _routes_to(listener: Listener, name: str, process: Process) -> Iterator[Route]:
    queue = queue_of(listener, process)
    if listener.tcp:
        host, port = listener.tcp
        yield lambda deadline: _connect_there((_EVERYWHERE.get(host, host), port), name, process, deadline, queue)
    elif listener.name.startswith(b"@"):
        address = _abstract(listener.name)
        yield lambda deadline: _connect_there(address, name, process, deadline, queue)
    elif listener.name:
        yield from _by_files(listener, name, process)
    else:
        raise QmpError(f"{name} is not reachable: the socket of {process} has no name to connect to")


def _abstract(name: bytes) -> bytes:
    """The address of an abstract socket from the kernel's table, which shows every NUL byte as ``@``.

    The first byte is NUL, and so are those that fill a full address up; any other ``@`` is taken as it is.
    """
    if len(name) == SUN_PATH:
        return name.rstrip(b"@").replace(b"@", b"\0", 1).ljust(SUN_PATH, b"\0")
    return b"\0" + name[1:]


def _connect_there(
    address: bytes | tuple[str, int], name: str, process: Process, deadline: float, queue: Queue
) -> Link:
    """Connect by an address in the network namespace of the process, which is entered where it is not our own."""

    def connect() -> socket.socket:
        if isinstance(address, bytes):
            return _connect(socket.AF_UNIX, address, name, name, deadline, queue=queue)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        return _connect(family, address, name, name, deadline, queue=queue)

    try:
        return Link(in_network_of(process, connect), None if process.shares("net") else process)
    except PermissionError as error:
        raise QmpError(
            f"{name} is not reachable: {process} has a network namespace of its own, and entering it is not permitted "
            f"({error.strerror}); run as root"
        ) from error


def _by_files(listener: Listener, name: str, process: Process) -> Iterator[Route]:
    """By the file that a Unix socket is bound to: its path may lead to another file in another namespace, or later."""
    try:
        bound = in_network_of(process, lambda: sock_diag.file_of(listener.inode))
    except OSError:
        bound = None
    usable: list[tuple[Path, os.stat_result]] = []
    problems = []
    for path in socket_files(os.fsdecode(listener.name), process):
        try:
            status = path.stat()
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        device = os.major(status.st_dev), os.minor(status.st_dev)
        if not stat.S_ISSOCK(status.st_mode):
            problems.append(f"{path} is not a socket")
        elif bound is not None and (status.st_ino & 0xFFFFFFFF, device) == (bound.inode, bound.device):
            usable = [(path, status)]
            break
        elif bound is None or (device != bound.device and _is_its_own(path, process)):
            # some file systems report another device than the kernel knows: the proof after connecting decides
            usable.append((path, status))
        else:
            problems.append(f"{path} is another socket by now")
    if not usable:
        why = harmless("; ".join(problems))
        raise QmpError(f"{name} is not reachable: {process} listens there, but its file cannot be found ({why})")
    for path, status in usable:
        yield lambda deadline, path=path, status=status: Link(  # type: ignore[misc]
            _connect_file(path, name, deadline, queue_of(listener, process), status)
        )


def _is_its_own(path: Path, process: Process) -> bool:
    """Whether a path is looked up in the mounts of the process; in other mounts it may be any file."""
    return path.is_relative_to(process.directory) or (
        process.shares("mnt") and not path.is_relative_to(process.proc / "1")
    )


def _connect_file(
    path: Path, name: str, deadline: float, queue: Queue = lambda: 0, seen: os.stat_result | None = None
) -> socket.socket:
    """Connect to the socket at a path of any length, and only to the file whose status is `seen`, if that is given."""
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise QmpError(_unreachable(name, error)) from error
    if seen is not None and not os.path.samestat(seen, os.fstat(file)):
        os.close(file)
        raise QmpError(f"{name} is not reachable: {path} is another socket by now")
    try:
        return _connect(socket.AF_UNIX, f"/proc/self/fd/{file}", name, str(path), deadline, queue=queue)
    finally:
        os.close(file)


def _connect(
    family: socket.AddressFamily,
    address: str | bytes | tuple[str, int],
    name: str,
    held: str,
    deadline: float,
    *,
    queue: Queue,
) -> socket.socket:
    """Connect before a deadline. QEMU's queue of clients is short: while somebody waits in it, the socket is busy."""
    while True:
        problem: OSError | None = None
        if not queue():
            link = socket.socket(family)
            try:
                # connect() to a Unix socket succeeds or fails at once
                link.settimeout(0 if family == socket.AF_UNIX else max(deadline - time.monotonic(), 0.1))
                link.connect(address)
            except (BlockingIOError, TimeoutError) as error:
                link.close()
                problem = error
            except OSError as error:
                link.close()
                raise QmpError(_unreachable(name, error)) from error
            except BaseException:
                link.close()
                raise
            else:
                link.setblocking(False)
                return link
        if time.monotonic() > deadline:
            raise QmpError(f"{name} is busy. {describe_holder(Path(held))}") from problem
        time.sleep(RETRY_SECONDS)


def _unreachable(name: str, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return f"there is no socket {name}: start QEMU with -qmp unix:{name},server=on,wait=off"
        case ConnectionRefusedError():
            return f"nobody listens at {name}: a QEMU that has ended left it behind"
        case PermissionError():
            return f"no permission to connect to {name}: run as root or as the user that runs QEMU"
        case _:
            return f"cannot connect to {name}: {error.strerror or error}"

"""The way to a monitor: a connection, or what stands in its way."""

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
from fakedirty.linux.listening import Listener, listeners, plain, tcp_waiting
from fakedirty.linux.network_namespace import within
from fakedirty.linux.process import Process

from .address import AbstractSocket, InheritedSocket, Place, TcpSocket, UnixSocket, Unreachable
from .holder import describe_holder

RETRY_SECONDS = 0.05
_SUN_PATH = 108  # bytes of a Unix address
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_NAMED_HOSTS = {"": {"0.0.0.0", "::"}, "localhost": {"127.0.0.1", "::1"}}


@dataclass(frozen=True, slots=True)
class Link:
    """A connected socket; it is of the network namespace of `network` (None: of ours)."""

    socket: socket.socket
    network: Process | None = None


Route = Callable[[float], Link]  # connects before a deadline
Queue = Callable[[], int]  # how many wait


def routes(place: Place, process: Process | None) -> Iterator[Route]:
    """The ways to a place, the likeliest first; QmpError says why there is none."""
    match place:
        case Path():
            queue = _queue_at(place, process)
            yield lambda deadline: Link(_connect_file(place, str(place), deadline, queue))
        case Unreachable():
            raise QmpError(f"{place} is not reachable: {harmless(place.why)}")
        case UnixSocket() | AbstractSocket() | InheritedSocket() | TcpSocket() if process is not None:
            own = listeners(process)
            if own is None:
                yield from _unseen(place, process)
            else:
                yield from _seen(place, process, own)
        case _:
            raise QmpError(f"{place} is no socket")


def _queue_at(path: Path, process: Process | None) -> Queue:
    if process is None or not (found := meant(path, process, listeners(process) or {})):
        return lambda: 0
    return queue_of(found[0], process)


def queue_of(listener: Listener, process: Process) -> Queue:
    """How many wait at a socket: QEMU's queue has room for two, and who leaves it unserved stays in it.

    To come to one at which somebody waits already would keep others from coming there: they are refused at once.
    """

    def waiting() -> int:
        if listener.tcp:
            return tcp_waiting(process, listener.inode)
        try:
            return within(process, lambda: sock_diag.waiting(listener.inode))
        except OSError:
            return 0

    return waiting


def _unseen(place: Place, process: Process) -> Iterator[Route]:
    """Of a process whose descriptors may not be read, the command line is all that is known."""
    if isinstance(place, UnixSocket) and place.path.startswith("/"):
        path = Path(place.path)
        yield lambda deadline: Link(_connect_file(path, str(place), deadline))
    else:
        raise QmpError(f"{place} is not reachable: the open files of {process} may not be read; run as root")


def _seen(place: Place, process: Process, own: dict[int, Listener]) -> Iterator[Route]:
    found = meant(place, process, own)
    if not found:
        wanted = f"by {place}" if isinstance(place, InheritedSocket) else f"at {place}"
        state = "does not listen" if process.runs else "has ended and listens no more"
        raise QmpError(f"{place} is not reachable: {process} {state} {wanted}")
    for listener in found:
        yield from _to(listener, str(place), process)


def meant(place: Place, process: Process, own: dict[int, Listener]) -> list[Listener]:
    """Those of a process's `own` listening sockets, by descriptor, that are at a place."""
    match place:
        case Path():
            found = [each for each in own.values() if each.name and _is_at(place, each, process)]
        case UnixSocket():
            found = [each for each in own.values() if each.name == os.fsencode(place.path)]
        case AbstractSocket():
            name = (b"@" + os.fsencode(place.name)).ljust(0 if place.tight else _SUN_PATH, b"@")
            found = [each for each in own.values() if each.name == name]
        case InheritedSocket():
            found = [own[place.descriptor]] if place.descriptor in own else []
        case TcpSocket():
            found = _at_address(place, own)
        case _:
            found = []
    return list(dict.fromkeys(found))


def _is_at(path: Path, listener: Listener, process: Process) -> bool:
    """Whether a path, as we open it, is the file of a listening socket, however that is spelled."""
    files = () if listener.name.startswith(b"@") else _files(os.fsdecode(listener.name), process)
    for each in files:
        try:
            if each.samefile(path):
                return True
        except OSError:
            continue
    return False


def _at_address(place: TcpSocket, own: dict[int, Listener]) -> list[Listener]:
    """Serial lines and VNC listen by TCP, too: at other addresses of the same port, or at ports of the same range."""
    ports, hosts = _ports(place), _hosts(place.host)
    found = [
        each
        for each in own.values()
        if each.tcp and each.tcp[1] in ports and (hosts is None or plain(each.tcp[0]) in hosts)
    ]
    if len({each.tcp[1] for each in found if each.tcp}) > 1 or (hosts is None and len(found) > 1):
        raise QmpError(f"{place} is not reachable: which of several sockets of QEMU it is, is not known")
    return found


def _hosts(host: str) -> set[str] | None:
    """The addresses at which a server listens that was given a host; None where only its own resolver knows."""
    if host in _NAMED_HOSTS:
        return _NAMED_HOSTS[host]
    try:
        return {plain(host)}
    except ValueError:
        return None


def _ports(place: TcpSocket) -> range:
    try:
        first = int(place.port) if place.port.isdigit() else socket.getservbyname(place.port, "tcp")
    except OSError:
        return range(0)
    if not first:
        raise QmpError(
            f"{place} is not reachable: which port the kernel chose for it, among those of QEMU, is not known"
        )
    return range(first, max(first, place.to or 0) + 1)


def _to(listener: Listener, name: str, process: Process) -> Iterator[Route]:
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
    """The kernel shows NUL bytes as ``@``: those that fill the address up, and the first, are; others stay."""
    if len(name) == _SUN_PATH:
        return name.rstrip(b"@").replace(b"@", b"\0", 1).ljust(_SUN_PATH, b"\0")
    return b"\0" + name[1:]


def _connect_there(
    address: bytes | tuple[str, int], name: str, process: Process, deadline: float, queue: Queue
) -> Link:
    """By a name that is one of the process's network namespace, entered where it is not ours."""

    def connect() -> socket.socket:
        if isinstance(address, bytes):
            return _connect(socket.AF_UNIX, address, name, name, deadline, queue=queue)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        return _connect(family, address, name, name, deadline, queue=queue)

    try:
        return Link(within(process, connect), None if process.shares("net") else process)
    except PermissionError as error:
        raise QmpError(
            f"{name} is not reachable: {process} has a network namespace of its own, and entering it is not permitted "
            f"({error.strerror}); run as root"
        ) from error


def _by_files(listener: Listener, name: str, process: Process) -> Iterator[Route]:
    """By the file that a Unix socket is bound to: a path leads elsewhere in another namespace, or later."""
    try:
        bound = within(process, lambda: sock_diag.file_of(listener.inode))
    except OSError:
        bound = None
    usable: list[tuple[Path, os.stat_result]] = []
    problems = []
    for path in _files(os.fsdecode(listener.name), process):
        try:
            status = path.stat()
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        device = os.major(status.st_dev), os.minor(status.st_dev)
        if not stat.S_ISSOCK(status.st_mode):
            problems.append(f"{path} is no socket")
        elif bound is not None and (status.st_ino & 0xFFFFFFFF, device) == (bound.inode, bound.device):
            usable = [(path, status)]
            break
        elif bound is None or (device != bound.device and _is_its_own(path, process)):
            # some file systems show another device than the kernel's own: the proof after connecting decides
            usable.append((path, status))
        else:
            problems.append(f"{path} is another socket by now")
    if not usable:
        why = harmless("; ".join(problems))
        raise QmpError(f"{name} is not reachable: {process} listens there, and its file is not to be found ({why})")
    for path, status in usable:
        yield lambda deadline, path=path, status=status: Link(  # type: ignore[misc]
            _connect_file(path, name, deadline, queue_of(listener, process), status)
        )


def _is_its_own(path: Path, process: Process) -> bool:
    """Whether a path is looked up in the mounts of the process: elsewhere it may be anything's."""
    return path.is_relative_to(process.directory) or (
        process.shares("mnt") and not path.is_relative_to(process.proc / "1")
    )


def _files(path: str, process: Process) -> Iterator[Path]:
    """Where the file that a process bound by a path may be: it may have other mounts, another root or directory."""
    directory = process.directory
    if path.startswith("/"):
        there = process.seen(path)
        # a process that has left its root behind after it had bound the socket still shares our mounts
        yield from (Path(path), there) if process.shares("mnt") else (there, Path(path))
        yield process.proc / "1" / "root" / path.lstrip("/")  # a service may have mounts of its own, and so may we
        return
    yield directory / "cwd" / path
    # one that has become a daemon has left its directory, but not the environment that it was started with
    if started := process.environment("PWD"):
        yield from _files(str(Path(started) / path), process)


def _connect_file(
    path: Path, name: str, deadline: float, queue: Queue = lambda: 0, seen: os.stat_result | None = None
) -> socket.socket:
    """To the socket at a path, however long that is; to no other than the one that was `seen` there."""
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
    """QEMU's queue of clients is short: one in which somebody waits means busy."""
    while True:
        problem: OSError | None = None
        if not queue():
            link = socket.socket(family)
            try:
                # of a Unix socket, connect() is done or refused at once
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
            return f"nobody listens at {name}: it is left over from a QEMU that has ended"
        case PermissionError():
            return f"no permission to connect to {name}: run as root or as the user that runs QEMU"
        case _:
            return f"cannot connect to {name}: {error.strerror or error}"

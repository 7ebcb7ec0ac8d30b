"""Finds which of the sockets of a process are the monitor at a place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fakedirty.errors import QmpError
from fakedirty.linux.listening import Listener, canonical_address
from fakedirty.linux.process import Process

from .address import AbstractSocket, InheritedSocket, Place, TcpSocket, UnixSocket

SUN_PATH = 108  # bytes of a Unix address
_NAMED_HOSTS = {"": {"0.0.0.0", "::"}, "localhost": {"127.0.0.1", "::1"}}


def listeners_at(place: Place, process: Process, own: dict[int, Listener]) -> list[Listener]:
    """Those of a process's `own` listening sockets, by descriptor, that are at a place."""
    match place:
        case Path():
            found = [each for each in own.values() if each.name and _is_at(place, each, process)]
        case UnixSocket():
            found = [each for each in own.values() if each.name == os.fsencode(place.path)]
        case AbstractSocket():
            name = b"@" + os.fsencode(place.name)
            wanted = name if place.tight else name.ljust(SUN_PATH, b"@")
            found = [each for each in own.values() if each.name == wanted]
        case InheritedSocket():
            found = [own[place.descriptor]] if place.descriptor in own else []
        case TcpSocket():
            found = _at_address(place, own)
        case _:
            found = []
    return list(dict.fromkeys(found))


def _is_at(path: Path, listener: Listener, process: Process) -> bool:
    """Whether a path of ours is the file of a listening socket, whatever path that has for the process."""
    files = () if listener.name.startswith(b"@") else socket_files(os.fsdecode(listener.name), process)
    for each in files:
        try:
            if each.samefile(path):
                return True
        except OSError:
            continue
    return False


def _at_address(place: TcpSocket, own: dict[int, Listener]) -> list[Listener]:
    """Serial lines and VNC may listen on TCP too: at other addresses with the same port, or at ports of the range."""
    ports, hosts = _ports(place), _hosts(place.host)
    found = {
        each: each.tcp[1]
        for each in own.values()
        if each.tcp and each.tcp[1] in ports and (hosts is None or canonical_address(each.tcp[0]) in hosts)
    }
    if len(set(found.values())) > 1 or (hosts is None and len(found) > 1):
        raise QmpError(f"{place} is not reachable: several sockets of QEMU may be this one")
    return list(found)


def _hosts(host: str) -> set[str] | None:
    """The addresses at which a server that was given `host` listens; None for a name, which its resolver decides on."""
    if host in _NAMED_HOSTS:
        return _NAMED_HOSTS[host]
    try:
        return {canonical_address(host)}
    except ValueError:
        return None


def _ports(place: TcpSocket) -> range:
    try:
        first = int(place.port) if place.port.isdigit() else socket.getservbyname(place.port, "tcp")
    except OSError:
        return range(0)
    if not first:
        raise QmpError(f"{place} is not reachable: the kernel chose its port, and QEMU does not report which one")
    return range(first, max(first, place.to or 0) + 1)


def socket_files(path: str, process: Process) -> Iterator[Path]:
    """Paths of ours for a file that a process bound by `path`: it may have other mounts, another root or directory."""
    directory = process.directory
    if path.startswith("/"):
        there = process.resolve(path)
        # a process that changed its root after it had bound the socket still shares our mounts
        yield from (Path(path), there) if process.shares("mnt") else (there, Path(path))
        yield process.proc / "1" / "root" / path.lstrip("/")  # the service, or we, may have mounts of our own
        return
    yield directory / "cwd" / path
    # a daemon has left the directory that it was started in; its environment still has it
    if started := process.environment("PWD"):
        yield from socket_files(str(Path(started) / path), process)

"""Where a process listens: its open sockets, by the tables of its own network namespace."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .process import Process

_UNIX_ROW = re.compile(rb"^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ ([0-9A-F]+) ([0-9A-F]+) ([0-9A-F]+) +(\d+)(?: (.*))?$")
_ACCEPTS = 0x10000  # __SO_ACCEPTCON
_STREAM = 1
_CONNECTED = 3
_TCP_LISTEN = "0A"

Endpoint = tuple[str, int]  # a numeric address, and a port


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening stream socket. Of a Unix one, `name` is as it was bound, with ``@`` for each NUL byte."""

    inode: int
    name: bytes = b""
    tcp: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class TcpRow:
    """One end of a TCP connection."""

    local: Endpoint
    remote: Endpoint
    state: str
    inode: int


def listeners(process: Process) -> dict[int, Listener] | None:
    """Those of a process by descriptor; None where its descriptors may not be read."""
    own = process.sockets()
    if own is None:
        return None
    known = {listener.inode: listener for listener in (*unix_listeners(process), *_tcp_listeners(process))}
    return {descriptor: known[inode] for descriptor, inode in sorted(own.items()) if inode in known}


def unix_listeners(process: Process) -> Iterator[Listener]:
    """All of its network namespace."""
    for flags, _, inode, name in _unix_rows(process):
        if flags & _ACCEPTS:
            yield Listener(inode, name)


def connected(process: Process) -> Iterator[tuple[int, bytes]]:
    """Inodes of its network namespace's connected Unix sockets, with the name that they have from a listening one."""
    for _, state, inode, name in _unix_rows(process):
        if state == _CONNECTED:
            yield inode, name


def _unix_rows(process: Process) -> Iterator[tuple[int, int, int, bytes]]:
    """Flags, state, inode and name of stream sockets."""
    for line in _read(process, "unix").splitlines():
        if match := _UNIX_ROW.match(line):
            flags, kind, state, inode, name = match.groups()
            if int(kind, 16) == _STREAM:
                yield int(flags, 16), int(state, 16), int(inode), name or b""


def _tcp_listeners(process: Process) -> Iterator[Listener]:
    for row in tcp_rows(process):
        if row.state == _TCP_LISTEN:
            yield Listener(row.inode, tcp=row.local)


def tcp_rows(process: Process) -> Iterator[TcpRow]:
    """Every TCP socket of its network namespace."""
    for table in ("tcp", "tcp6"):
        for line in _read(process, table).decode("ascii", "replace").splitlines()[1:]:
            words = line.split()
            if len(words) > 9:
                yield TcpRow(_endpoint(words[1]), _endpoint(words[2]), words[3], int(words[9]))


def plain(host: str) -> str:
    """A numeric address in its one spelling; an IPv4 address that IPv6 carries is itself."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _endpoint(text: str) -> Endpoint:
    """``0100007F:1F90``: 32-bit words of the address in the byte order of the host."""
    words, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return plain(socket.inet_ntop(family, raw)), int(port, 16)


def _read(process: Process, table: str) -> bytes:
    try:
        return (process.directory / "net" / table).read_bytes()
    except OSError:
        return b""

"""The sockets at which a process listens, by the tables of its own network namespace."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass

from .process import Process

# flags (__SO_ACCEPTCON of listening sockets), type (SOCK_STREAM) and state of a Unix socket
_LISTENING, CONNECTED = b" 00010000 0001 01 ", b" 00000000 0001 03 "
_UNIX_ROW = re.compile(rb"^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+( [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ ) *(\d+)(?: (.*))?$")
TCP_ESTABLISHED, _TCP_LISTEN = "01", "0A"

Endpoint = tuple[str, int]  # a numeric address, and a port


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening stream socket. `name` is that of a Unix socket as it was bound, with ``@`` for each NUL byte."""

    inode: int
    name: bytes = b""
    tcp: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class TcpRow:
    """One end of a TCP connection."""

    local: Endpoint
    remote: Endpoint
    inode: int


def listeners(process: Process) -> dict[int, Listener] | None:
    """The listening sockets of a process by descriptor; None where its descriptors may not be read."""
    own = process.sockets()
    if own is None:
        return None
    inodes = set(own.values())
    known = {inode: Listener(inode, name) for inode, name in unix_rows(process, _LISTENING, inodes)}
    known |= {row.inode: Listener(row.inode, tcp=row.local) for row in tcp_rows(process, _TCP_LISTEN, inodes)}
    return {descriptor: known[inode] for descriptor, inode in sorted(own.items()) if inode in known}


def unix_rows(process: Process, kind: bytes, inodes: Container[int]) -> Iterator[tuple[int, bytes]]:
    """Inode and name of Unix sockets in the network namespace of a process.

    Args:
        process: the process.
        kind: columns of the kernel's table, such as :data:`CONNECTED`. A connected socket has the name of the socket
            that accepted it.
        inodes: only these are returned.
    """
    for line in _read(process, "unix").splitlines():
        if kind not in line:  # a fast test first: a host has thousands of sockets
            continue
        if (match := _UNIX_ROW.match(line)) and match[1] == kind and (inode := int(match[2])) in inodes:
            yield inode, match[3] or b""


def tcp_rows(process: Process, state: str, inodes: Container[int]) -> Iterator[TcpRow]:
    """TCP sockets in the network namespace of a process: those in `state`, a number of the kernel, with `inodes`."""
    for table in ("tcp", "tcp6"):
        for line in _read(process, table).decode("ascii", "replace").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == state and (inode := int(words[9])) in inodes:
                yield TcpRow(_endpoint(words[1]), _endpoint(words[2]), inode)


def tcp_waiting(process: Process, inode: int) -> int:
    """How many clients wait at a listening TCP socket in the network namespace of a process."""
    for table in ("tcp", "tcp6"):
        for line in _read(process, table).decode("ascii", "replace").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == _TCP_LISTEN and int(words[9]) == inode:
                return int(words[4].partition(":")[2], 16)
    return 0


def canonical_address(host: str) -> str:
    """A numeric address in its canonical form; an IPv4 address that is mapped into IPv6 becomes IPv4 again.

    >>> canonical_address("::ffff:127.0.0.1"), canonical_address("fe80:0::1%eth0")
    ('127.0.0.1', 'fe80::1')
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _endpoint(text: str) -> Endpoint:
    """``0100007F:1F90``: 32-bit words of the address in the byte order of the host."""
    words, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return canonical_address(socket.inet_ntop(family, raw)), int(port, 16)


def _read(process: Process, table: str) -> bytes:
    try:
        return (process.directory / "net" / table).read_bytes()
    except OSError:
        return b""

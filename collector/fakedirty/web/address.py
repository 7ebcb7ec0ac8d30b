"""Where the server listens: an address as text, as a socket takes it, and whether only this host reaches it."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address

from fakedirty.errors import UsageError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9752

SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``:PORT``, ``PORT`` or ``[IPv6]:PORT``; port 0 is any free one.

    Raises:
        UsageError: if the text is no such address.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {text}: expected HOST:PORT, such as {DEFAULT_HOST}:{DEFAULT_PORT}")
    return host.strip("[]") or DEFAULT_HOST, int(port)


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """The first address of `host`, as ``bind`` takes it.

    Raises:
        OSError, UnicodeError: if there is no such host.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return family, address


def is_loopback(address: SocketAddress) -> bool:
    """Whether only this host reaches the address."""
    found = ip_address(str(address[0]).partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None  # only Python 3.13 asks it by itself
    return (mapped or found).is_loopback


def shown(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

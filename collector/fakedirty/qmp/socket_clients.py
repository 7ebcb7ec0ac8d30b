"""The clients that a process serves at its monitors, by the kernel's table of Unix sockets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fakedirty.linux.listening import CONNECTED, listeners, unix_rows
from fakedirty.linux.process import Process

from .address import Address, Domain, TcpSocket, Unreachable
from .monitor_sockets import listeners_at


def clients(process: Process, names: Collection[bytes]) -> Mapping[bytes, frozenset[int]]:
    """The connections that a process has accepted at its Unix sockets.

    A socket of another process may have the same name, so only connections count that this process has open. A client
    that still waits to be accepted does not count.

    Args:
        process: the process.
        names: names of listening sockets, as they were bound.

    Returns:
        Inodes of connections by name; empty also where the table or the open files may not be read.
    """
    own = frozenset((process.sockets() or {}).values())
    found: dict[bytes, set[int]] = {name: set() for name in names}
    for inode, name in unix_rows(process, CONNECTED, own):
        if name in found:
            found[name].add(inode)
    return {name: frozenset(inodes) for name, inodes in found.items()}


def clients_visible(address: Address) -> bool:
    """Whether the kernel's table of Unix sockets shows the clients of a monitor."""
    return not isinstance(address.place, Domain | TcpSocket | Unreachable)


def free_first(addresses: Sequence[Address]) -> list[Address]:
    """Monitors in their order, but those that serve a client last: it may keep the connection for days."""
    held = {address for address in addresses if len(addresses) > 1 and _held(address)}
    return sorted(addresses, key=lambda address: address in held)


def _held(address: Address) -> bool:
    if address.process is None or not clients_visible(address):
        return False
    found = listeners_at(address.place, address.process, listeners(address.process) or {})
    return bool(found) and any(clients(address.process, {found[0].name}).values())

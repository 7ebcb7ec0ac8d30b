"""The clients that a process serves at its Unix sockets, as the kernel's table shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fakedirty.qmp.address import Address, Domain, TcpSocket, Unreachable
from fakedirty.qmp.connect import meant

from .listening import CONNECTED, listeners, unix_rows
from .process import Process


def clients(process: Process, names: Collection[bytes]) -> Mapping[bytes, frozenset[int]]:
    """By the name of the socket, the inodes of the connections that the process has accepted there.

    A name may be that of another process's socket, too, so that only sockets which the process has open count; who
    waits to be served has none there. Empty also where the table or the open files may not be read.
    """
    own = frozenset((process.sockets() or {}).values())
    found: dict[bytes, set[int]] = {name: set() for name in names}
    for inode, name in unix_rows(process, CONNECTED, own):
        if name in found:
            found[name].add(inode)
    return {name: frozenset(inodes) for name, inodes in found.items()}


def are_seen(address: Address) -> bool:
    """Whether the kernel's table of Unix sockets has the clients of a monitor."""
    return not isinstance(address.place, Domain | TcpSocket | Unreachable)


def free_first(addresses: Sequence[Address]) -> list[Address]:
    """Monitors in their order, but those behind all others at which somebody is served: it may be there for days."""
    held = {address for address in addresses if len(addresses) > 1 and _held(address)}
    return sorted(addresses, key=lambda address: address in held)


def _held(address: Address) -> bool:
    if address.process is None or not are_seen(address):
        return False
    found = meant(address.place, address.process, listeners(address.process) or {})
    return bool(found) and any(clients(address.process, {found[0].name}).values())

"""The clients that a process serves at its Unix sockets, as the kernel's table shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .listening import CONNECTED, unix_rows
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

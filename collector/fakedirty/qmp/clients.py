"""The clients that a QEMU serves at its Unix sockets, as the kernel's table shows them."""

from __future__ import annotations

import os
from pathlib import Path

_CONNECTED = "03"
_NOT_ACCEPTED = "0"


def clients(path: Path, table: Path = Path("/proc/net/unix")) -> frozenset[str]:
    """The inodes of the connections that were accepted at `path`; who waits to be served is not among them.

    Empty also where the table (``/proc/PID/net/unix`` of a process in another network namespace) cannot be read.
    """
    try:
        rows = table.read_text(errors="surrogateescape").splitlines()[1:]
    except OSError:
        return frozenset()
    found = set()
    for row in rows:
        # Num RefCount Protocol Flags Type St Inode Path, which may hold blanks
        columns = row.split(maxsplit=7)
        if columns[5:6] == [_CONNECTED] and columns[7:] == [os.fspath(path)] and columns[6] != _NOT_ACCEPTED:
            found.add(columns[6])
    return frozenset(found)

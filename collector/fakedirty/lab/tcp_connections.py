"""The TCP connections of another process to one port: found, and shut down from outside."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.linux import libc

_ESTABLISHED = "01"  # in /proc/PID/net/tcp


def connections(pid: int, port: int, proc: Path = Path("/proc")) -> list[int]:
    """The file descriptors of process `pid` that are connected to `port`, in the order of their own ports."""
    own_ports = _own_ports((proc / str(pid) / "net" / "tcp").read_text(), port)
    found = []
    for path in (proc / str(pid) / "fd").iterdir():
        try:
            inode = os.readlink(path)
        except FileNotFoundError:  # closed meanwhile
            continue
        if inode in own_ports:
            found.append((own_ports[inode], int(path.name)))
    return [descriptor for _own_port, descriptor in sorted(found)]


def _own_ports(table: str, port: int) -> dict[str, int]:
    """The own port of each connection to `port`, by the name of its socket in /proc/PID/fd."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {
        f"socket:[{row[9]}]": int(row[1].rsplit(":", 1)[1], 16)
        for row in rows
        if row[3] == _ESTABLISHED and int(row[2].rsplit(":", 1)[1], 16) == port
    }


def shut(pid: int, descriptor: int) -> bool:
    """Shut down, both ways, the connection that is file descriptor `descriptor` of process `pid`.

    Returns:
        False if the process has closed it meanwhile. QEMU closes all its connections when one of them breaks.

    Raises:
        LabError: the kernel refuses it.
    """
    try:
        process = os.pidfd_open(pid)
        try:
            copy = libc.pidfd_getfd(process, descriptor)
        finally:
            os.close(process)
        with socket.socket(fileno=copy) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        if error.errno == errno.EBADF:
            return False
        raise LabError(f"cannot break a connection of process {pid}: {error.strerror}") from error
    return True

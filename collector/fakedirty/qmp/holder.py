"""Finds the process that holds a QMP socket: the socket serves one client at a time and leaves others waiting."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fakedirty.harmless import harmless

SS_SECONDS = 0.4  # for `ss`: the error of a held socket should not wait for a name
TABLE_SECONDS = 1.0  # for which the table of the host's sockets is reused: many monitors may be held at a time

OWNER = re.compile(r"pid=(\d+)")


@dataclass(frozen=True, slots=True)
class Peer:
    """A process with an end of a connection."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def describe_holder(path: Path, proc: Path = Path("/proc")) -> str:
    """One or two sentences: which process is connected to the socket at `path`, or listens there, and what to do."""
    table = _TABLE.rows()
    if clients := _connected(table, path, proc):
        return (
            f"It serves one client at a time and is held by {', '.join(map(str, clients))}: "
            "end that client, or give QEMU a second -qmp socket"
        )
    if servers := _listening(table, path, proc):
        return (
            f"It belongs to {', '.join(map(str, servers))} and serves one client at a time: another client may "
            "hold it (libvirt does), or the process is stopped. Give QEMU a second -qmp socket"
        )
    return "It may serve another client (it takes one at a time): end that client, or give QEMU a second -qmp socket"


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of ``ss``: one end of a Unix socket. /proc/net/unix does not show which two ends are connected."""

    state: str
    address: str
    inode: str
    peer: str
    pids: tuple[int, ...]


class _Table:
    """The latest table of sockets, read again when it is too old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[_Row] = []
        self._read: float | None = None

    def rows(self) -> list[_Row]:
        """Every Unix stream socket that this user may see; empty without ``ss`` of iproute2."""
        with self._lock:
            if self._read is None or time.monotonic() - self._read > TABLE_SECONDS:
                self._rows = _socket_table()
                self._read = time.monotonic()
            return self._rows


_TABLE = _Table()


def _socket_table() -> list[_Row]:
    try:
        # -O: one line each. An address may contain spaces, so the pattern below does not split at spaces
        text = subprocess.run(["ss", "-xpnaO"], capture_output=True, text=True, check=True, timeout=SS_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return list(_rows(text))


def _rows(text: str) -> Iterator[_Row]:
    pattern = re.compile(r"^u_\S+\s+(\S+)\s+\d+\s+\d+\s+(.+?)\s+(\d+)\s+\S+\s+(\d+)\s*(.*)$")
    for line in text.splitlines():
        if match := pattern.match(line):
            state, address, inode, peer, rest = match.groups()
            yield _Row(state, address, inode, peer, tuple(int(pid) for pid in OWNER.findall(rest)))


def _connected(table: list[_Row], path: Path, proc: Path) -> list[Peer]:
    """The processes at the client's end of the connections that were accepted at `path`."""
    accepted = {row.inode for row in table if row.address == str(path) and row.state == "ESTAB" and row.inode != "0"}
    return _peers((pid for row in table if row.peer in accepted for pid in row.pids), proc)


def _listening(table: list[_Row], path: Path, proc: Path) -> list[Peer]:
    return _peers(
        (pid for row in table if row.address == str(path) and row.state == "LISTEN" for pid in row.pids), proc
    )


def _peers(pids: Iterator[int], proc: Path) -> list[Peer]:
    return [peer_of(pid, proc) for pid in sorted(set(pids))]


def peer_of(pid: int, proc: Path = Path("/proc")) -> Peer:
    return Peer(pid, _command(pid, proc))


def _command(pid: int, proc: Path) -> str:
    """The command line, at most 80 characters; ``ended`` where it cannot be read."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended"
    line = " ".join(os.fsdecode(word) for word in words if word)
    line = harmless(line)
    return line if len(line) <= 80 else line[:77] + "..."

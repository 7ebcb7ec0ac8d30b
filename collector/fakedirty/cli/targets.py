"""Which QEMU is meant: the selectors that commands share, and the choice that they make."""

from __future__ import annotations

import argparse
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from fakedirty.errors import TargetError
from fakedirty.observe.select import named, only
from fakedirty.observe.target import Target, by_pid, find_all


def add_selectors(parser: argparse.ArgumentParser) -> None:
    """``--pid``, ``--vm``, ``--qmp``."""
    parser.add_argument("--pid", type=int, metavar="PID", help="the QEMU with this process id")
    parser.add_argument("--vm", metavar="NAME", help="the QEMU whose VM has this name (-name)")
    parser.add_argument("--qmp", type=Path, metavar="SOCKET", help="a QMP socket of it; alone, it also says which QEMU")


def choose(arguments: argparse.Namespace) -> Target:
    """The one QEMU that the selectors mean; without any, the only one that runs."""
    if arguments.pid is not None:
        return by_pid(arguments.pid)
    targets = find_all()
    if arguments.vm is not None:
        return named(arguments.vm, targets)
    if arguments.qmp is not None:
        return _serving(arguments.qmp, targets)
    if not targets:
        raise TargetError("no QEMU runs here (or none that this user may see): start one, or run as root")
    return only(targets, "several QEMUs run")


def _serving(path: Path, targets: Sequence[Target]) -> Target:
    """The QEMU behind a socket: the one whose command line offers it, else the one that listens there."""
    for target in targets:
        sockets = [offered for offered in target.monitors if isinstance(offered, Path) and offered.exists()]
        if path.exists() and any(os.path.samefile(offered, path) for offered in sockets):
            return target
    return by_pid(_listener(path))


def _listener(path: Path) -> int:
    """The process id that the kernel knows for the listening end."""
    credentials = struct.Struct("3i")  # struct ucred: pid, uid, gid
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(2)
        try:
            link.connect(os.fspath(path))
            raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
        except OSError as error:
            raise TargetError(
                f"no QEMU answers at {path}: {error.strerror or error}; "
                f"start it with -qmp unix:{path},server=on,wait=off"
            ) from error
    pid: int = credentials.unpack(raw)[0]
    return pid

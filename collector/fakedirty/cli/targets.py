"""The selectors of a QEMU that commands share, and the QEMU that they select."""

from __future__ import annotations

import argparse
from pathlib import Path

from fakedirty.errors import TargetError
from fakedirty.observe.host.select import named, only
from fakedirty.observe.host.target import Target, by_pid, find_all
from fakedirty.qmp.socket_owner import serving


def add_selectors(parser: argparse.ArgumentParser) -> None:
    """Add ``--pid``, ``--vm`` and ``--qmp``."""
    parser.add_argument("--pid", type=int, metavar="PID", help="the QEMU with this process id")
    parser.add_argument("--vm", metavar="NAME", help="the QEMU whose VM has this name (-name)")
    parser.add_argument(
        "--qmp", type=Path, metavar="SOCKET", help="a QMP socket of it; alone, it also selects the QEMU"
    )


def choose(arguments: argparse.Namespace) -> Target:
    """The one QEMU that the selectors mean; without any, the only one that runs.

    Raises:
        TargetError: There is no such QEMU.
        UsageError: Several QEMUs could be meant.
    """
    if arguments.pid is not None:
        target = by_pid(arguments.pid)
        # where both are given, they must mean the same QEMU
        return target if arguments.vm is None else named(arguments.vm, [target])
    targets = find_all()
    if arguments.vm is not None:
        return named(arguments.vm, targets)
    if arguments.qmp is not None:
        process = serving(arguments.qmp, [target.process for target in targets])
        return next(target for target in targets if target.process == process)
    if not targets:
        raise TargetError("no QEMU runs here (or none that this user may see): start one, or run as root")
    return only(targets, "several QEMUs run")

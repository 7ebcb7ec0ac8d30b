"""``fakedirty mode``: switch the fake dirty mode of a running QEMU, during a migration or before one."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from fakedirty.cli.printing import print_json, print_line
from fakedirty.cli.targets import add_selectors, choose
from fakedirty.errors import TargetError, UsageError
from fakedirty.model.enums import Mode
from fakedirty.qmp.address import Address
from fakedirty.service.control import DEFAULT_SOCKET, NoServiceError, held_request
from fakedirty.service.direct_mode import set_directly
from fakedirty.service.signals import stop_signals

NAME = "mode"
HELP = "switch a running QEMU between off, observe and skip"
EPILOG = """\
examples:
  fakedirty mode skip --vm web                      through the service of this host, or by QMP where none runs
  fakedirty mode skip --vm web --revert-after 60    for a minute; then the service puts the mode back, or this command
  fakedirty mode skip --vm web --hold               until this command ends, in any way (needs the service)
  fakedirty mode off --qmp /run/vm.qmp              by this socket, without the service

exit status: 0 done; 1 no QEMU, no socket, or refused; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("mode", choices=[str(mode) for mode in Mode], help="the mode of QEMU from now on")
    add_selectors(parser)
    parser.add_argument("--hash", help="the content hash, for example xxh3-64; default: the present one")
    parser.add_argument("--revert-after", type=float, metavar="SECONDS", help="put the earlier mode back then")
    parser.add_argument("--hold", action="store_true", help="put the earlier mode back when this command ends")
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Set the mode, and print what QEMU reads back."""
    if arguments.revert_after is not None and (arguments.hold or arguments.revert_after <= 0):
        raise UsageError("--revert-after is a number of seconds above 0, and goes without --hold")
    with stop_signals() as stop:
        if arguments.qmp is None:
            try:
                _set_through_service(arguments, stop)
                return 0
            except NoServiceError:
                if arguments.hold:
                    raise
        name, monitors = _monitors(arguments)
        mode = Mode(Mode.parse(arguments.mode))
        for found, hash_name in set_directly(monitors, mode, arguments.hash, arguments.revert_after, stop):
            _print(arguments, name, str(found), hash_name)
    return 0


def _set_through_service(arguments: argparse.Namespace, stop: threading.Event) -> None:
    wanted: dict[str, Any] = {"mode": arguments.mode, "hash": arguments.hash, "revert_after": arguments.revert_after}
    which: dict[str, Any] = {"vm": arguments.vm}
    if arguments.pid is not None or arguments.vm is None:
        # a process id is valid in this pid namespace, and may be that of another process where the service runs
        target = choose(arguments)
        which |= {"pid": target.pid, "start_ticks": target.start_ticks}
    with held_request("mode", path=arguments.control, **wanted, **which, hold=arguments.hold or None) as answer:
        _print(arguments, answer["vm"], answer["mode"], answer["hash"])
        if arguments.hold:
            stop.wait()


def _monitors(arguments: argparse.Namespace) -> tuple[str, tuple[Address, ...]]:
    """The name to print, and the monitors of the QEMU that is meant."""
    if arguments.qmp is not None:
        # alone, the socket means the QEMU that answers there now; a revert must reach the same one
        alone = (arguments.pid, arguments.vm, arguments.revert_after) == (None, None, None)
        which = None if alone else choose(arguments).process
        return str(arguments.qmp), (Address(arguments.qmp, which),)
    target = choose(arguments)
    if not target.monitors:
        raise TargetError(f"{target.vm} (pid {target.pid}) was started without a QMP socket that is known: use --qmp")
    return target.vm, target.monitors


def _print(arguments: argparse.Namespace, name: str, mode: str, hash_name: str | None) -> None:
    if arguments.json:
        print_json({"qmp" if arguments.qmp else "vm": name, "mode": mode, "hash": hash_name}, indent=None)
    else:
        print_line(f"{name}: fake-dirty-mode is {mode}" + (f", hash {hash_name}" if hash_name else ""))

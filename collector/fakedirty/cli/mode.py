"""``fakedirty mode``: switch the fake dirty mode of a running QEMU, during a migration or before one."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakedirty.errors import TargetError, UsageError
from fakedirty.model.enums import Mode
from fakedirty.qmp.address import Address
from fakedirty.qmp.mode import State, read_mode, set_mode
from fakedirty.qmp.monitor import Monitor
from fakedirty.qmp.refusals import SwitchoverDecidedError
from fakedirty.qmp.socket_clients import free_first
from fakedirty.qmp.turn import CHANGE_SECONDS, in_turns, turn
from fakedirty.service.control import DEFAULT_SOCKET, NoServiceError, asking

from .printing import print_json, print_line
from .targets import add_selectors, choose
from .termination import stop_signals

REVERT_TRIES = 20  # of a socket that others may use meanwhile
AGAIN_SECONDS = 0.5  # until a mode can be put back that a migration keeps as it is

NAME = "mode"
HELP = "switch a running QEMU between off, observe and skip"
EPILOG = """\
examples:
  fakedirty mode skip --vm web                      by the service of this host, or by QMP where none runs
  fakedirty mode skip --vm web --revert-after 60    for a minute; the service puts it back, or this command stays to
  fakedirty mode skip --vm web --hold               until this command ends, however that is (needs the service)
  fakedirty mode off --qmp /run/vm.qmp              by this socket, whoever else runs

exit status: 0 done; 1 no QEMU, no socket, or refused; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("mode", choices=[str(mode) for mode in Mode], help="what QEMU does from now on")
    add_selectors(parser)
    parser.add_argument("--hash", help="the content hash, for example xxh3-64; the present one if not given")
    parser.add_argument("--revert-after", type=float, metavar="SECONDS", help="put back then what was before")
    parser.add_argument("--hold", action="store_true", help="put back what was before when this command ends")
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="say it in JSON")


def run(arguments: argparse.Namespace) -> int:
    """Set the mode and say what QEMU reads back."""
    if arguments.revert_after is not None and (arguments.hold or arguments.revert_after <= 0):
        raise UsageError("--revert-after is a number of seconds above 0, and goes without --hold")
    with stop_signals() as stop:
        if arguments.qmp is None:
            try:
                return _by_service(arguments, stop)
            except NoServiceError:
                if arguments.hold:
                    raise
        return _by_qmp(arguments, stop)


def _by_service(arguments: argparse.Namespace, stop: threading.Event) -> int:
    wanted: dict[str, Any] = {"mode": arguments.mode, "hash": arguments.hash, "revert_after": arguments.revert_after}
    which: dict[str, Any] = {"vm": arguments.vm}
    if arguments.pid is not None or arguments.vm is None:
        # an id is of this process here, and may be of another one where the service is
        target = choose(arguments)
        which |= {"pid": target.pid, "start_ticks": target.start_ticks}
    with asking("mode", path=arguments.control, **wanted, **which, hold=arguments.hold or None) as told:
        _say(arguments, told["vm"], told["mode"], told["hash"])
        if arguments.hold:
            stop.wait()
    return 0


def _by_qmp(arguments: argparse.Namespace, stop: threading.Event) -> int:
    if arguments.qmp is not None:
        name = str(arguments.qmp)
        # alone, the socket says which QEMU is meant: the one that answers there now, and not whoever does later
        alone = (arguments.pid, arguments.vm, arguments.revert_after) == (None, None, None)
        which = None if alone else choose(arguments).process
        monitors: tuple[Address, ...] = (Address(arguments.qmp, which),)
    else:
        target = choose(arguments)
        name, monitors = target.vm, target.monitors
        if not monitors:
            raise TargetError(f"{name} (pid {target.pid}) was started without a QMP socket that is known: use --qmp")
    with turn(free_first(monitors), CHANGE_SECONDS) as qmp:
        before = read_mode(qmp)
        mode, hash_name = set_mode(qmp, Mode(Mode.parse(arguments.mode)), arguments.hash)
    _say(arguments, name, str(mode), hash_name)
    if arguments.revert_after is not None:
        stop.wait(arguments.revert_after)  # the socket is free meanwhile

        def put_back(qmp: Monitor) -> State:
            now = read_mode(qmp)
            # whoever has changed it since meant something else
            return set_mode(qmp, *before) if now == (mode, hash_name) else now

        found, hash_name = _once_it_can(
            lambda: in_turns(free_first(monitors), put_back, REVERT_TRIES, CHANGE_SECONDS), stop
        )
        _say(arguments, name, str(found), hash_name)
    return 0


def _once_it_can(change: Callable[[], State], stop: threading.Event) -> State:
    """The state that is read back: changed when a migration that is past its decision on the switchover is over."""
    while True:
        try:
            return change()
        except SwitchoverDecidedError:
            if stop.wait(AGAIN_SECONDS):
                raise


def _say(arguments: argparse.Namespace, name: str, mode: str, hash_name: str | None) -> None:
    said = {"qmp" if arguments.qmp else "vm": name, "mode": mode, "hash": hash_name}
    if arguments.json:
        print_json(said, indent=None)
    else:
        print_line(f"{name}: fake-dirty-mode is {mode}" + (f", hash {hash_name}" if hash_name else ""))

"""``fakedirty status``: what the service of this host observes."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from fakedirty.format.numbers import UNSEEN
from fakedirty.service.control import DEFAULT_SOCKET, ask
from fakedirty.show.compare import VALID
from fakedirty.show.terminal import Terminal

from .printing import print_json

NAME = "status"
HELP = "say what the service of this host observes"
EPILOG = """\
examples:
  fakedirty status                   every QEMU that is observed, and its last migration
  fakedirty status --json            with all figures

exit status: 0 done; 1 no service answers; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="say it in JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and say."""
    told: dict[str, Any] = ask("status", path=arguments.control)
    if arguments.json:
        print_json(told)
        return 0
    terminal = Terminal()
    vms = told["vms"]
    head = f"fakedirty {told['version']}, pid {told['pid']}, for {told['up_seconds']:.0f} s: {len(vms)} QEMUs observed"
    terminal.print(head)
    if vms:
        terminal.print(_listing(vms))
    names = Counter(vm["vm"] for vm in vms)
    for vm in vms:
        if vm["verdict"] and vm["last"]["outcome"] == "unfinished":  # so far: it runs
            which = vm["vm"] if names[vm["vm"]] == 1 else f"{vm['vm']} (pid {vm['pid']})"
            terminal.print()
            terminal.print(f"{which}: {vm['verdict']}")
    return 0


def _listing(vms: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("vm", "pid", "level", "migrations", "last migration", "state", "rounds", "valid"):
        table.add_column(name, justify="right" if name in ("pid", "migrations", "rounds") else "left")
    for vm in vms:
        last = vm["last"]
        said = [UNSEEN] * 4
        if last:
            said = [last["migration_id"], last["state"], str(last["rounds"]), VALID[last["valid"]]]
        table.add_row(vm["vm"], str(vm["pid"]), vm["level"], str(vm["migrations"]), *said)
    return table

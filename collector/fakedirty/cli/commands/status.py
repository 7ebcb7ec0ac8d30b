"""``fakedirty status``: the QEMUs that the service of this host observes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from fakedirty.cli.printing import print_json
from fakedirty.service.control import DEFAULT_SOCKET, request
from fakedirty.show.status import status_parts
from fakedirty.show.terminal import Terminal

NAME = "status"
HELP = "show which QEMUs the service of this host observes"
EPILOG = """\
examples:
  fakedirty status                   every QEMU that is observed, and its last migration
  fakedirty status --json            with all numbers

exit status: 0 done; 1 no service answers; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Request the status, and print it."""
    status = request("status", path=arguments.control)
    if arguments.json:
        print_json(status)
    else:
        terminal = Terminal()
        for part in status_parts(status, time.time()):
            terminal.print(part)
    return 0

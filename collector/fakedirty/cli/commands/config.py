"""``fakedirty config``: check the configuration of the service, or print an example."""

from __future__ import annotations

import argparse
from pathlib import Path

from fakedirty.cli.printing import print_line
from fakedirty.service.config import read
from fakedirty.service.config_reference import example

NAME = "config"
HELP = "check the configuration of the service, or print an example"
EPILOG = """\
examples:
  fakedirty config check /etc/fakedirty.toml       report every error in it, with line and key
  fakedirty config example                         print every option at its default
  fakedirty observe --all --config /etc/fakedirty.toml

exit status: 0 done; 2 the file has errors, or cannot be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    checking = actions.add_parser("check", help="report the errors in a file")
    checking.add_argument("file", type=Path, metavar="FILE")
    actions.add_parser("example", help="print every option at its default")


def run(arguments: argparse.Namespace) -> int:
    """Check a file, or print the example."""
    if arguments.action == "example":
        for line in example().splitlines():
            print_line(line)
    else:
        read(arguments.file)
        print_line(f"{arguments.file}: right")
    return 0

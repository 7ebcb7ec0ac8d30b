"""``fakedirty config``: the configuration of the service, checked or begun."""

from __future__ import annotations

import argparse
from pathlib import Path

from fakedirty.service.config import read
from fakedirty.service.dictionary import example

from .printing import print_line

NAME = "config"
HELP = "check the configuration of the service, or print one to begin with"
EPILOG = """\
examples:
  fakedirty config check /etc/fakedirty.toml       what is wrong with it, with line and key
  fakedirty config example                         every option at its default
  fakedirty observe --all --config /etc/fakedirty.toml

exit status: 0 done; 2 the file is wrong, or cannot be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    checking = actions.add_parser("check", help="say what is wrong with a file")
    checking.add_argument("file", type=Path, metavar="FILE")
    actions.add_parser("example", help="print every option at its default")


def run(arguments: argparse.Namespace) -> int:
    """Check, or print."""
    if arguments.action == "example":
        for line in example().splitlines():
            print_line(line)
    else:
        read(arguments.file)
        print_line(f"{arguments.file}: right")
    return 0

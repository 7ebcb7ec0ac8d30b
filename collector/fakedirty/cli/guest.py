"""``fakedirty guest``: build the ground-truth guests, and say where they are."""

from __future__ import annotations

import argparse

NAME = "guest"
HELP = "build the ground-truth guests of the laboratory"
EPILOG = """\
examples:
  fakedirty guest build              build all guests (seconds; then cached) and print where each is
  fakedirty guest build baremetal    build one of them
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("build",), help="build what is not cached, and print where it is")
    parser.add_argument("names", nargs="*", metavar="NAME", help="guests to build; default: all of them")


def run(arguments: argparse.Namespace) -> int:
    """Build the guests that were named."""
    from fakedirty.lab.guest import GUESTS, build_guest

    for name in arguments.names or GUESTS:
        print(f"{name}: {build_guest(name).directory}")
    return 0

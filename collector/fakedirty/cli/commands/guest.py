"""``fakedirty guest``: build the guests, and print where they are."""

from __future__ import annotations

import argparse

from fakedirty.cli.printing import print_line

NAME = "guest"
HELP = "build the guests of the laboratory"
EPILOG = """\
examples:
  fakedirty guest build              build the ground-truth guests (seconds; then cached) and print where each is
  fakedirty guest build baremetal    build one of them
  fakedirty guest build services     build the guest with sysbench, memcached and redis, for campaigns
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "action", choices=("build",), help="build the guests that are not cached, and print where they are"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="guests to build; default: the ground-truth guests")


def run(arguments: argparse.Namespace) -> int:
    """Build the guests that are named."""
    from fakedirty.lab.guests import services
    from fakedirty.lab.guests.recipes import GUESTS, build_guest

    for name in arguments.names or GUESTS:
        built = services.build_services() if name == services.NAME else build_guest(name)
        print_line(f"{name}: {built.directory}")
    return 0

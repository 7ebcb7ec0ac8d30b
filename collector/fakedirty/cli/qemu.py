"""``fakedirty qemu``: build the QEMU with the series, and say where it is."""

from __future__ import annotations

import argparse

from fakedirty.lab.qemu import Builds, qemu_binary, unpatched_binary

from .printing import print_line

NAME = "qemu"
HELP = "build the patched QEMU, or say where it is"
EPILOG = """\
examples:
  fakedirty qemu build               build the series on Debian 13's QEMU source (once; then cached)
  fakedirty qemu path                print the binary's path
  FAKEDIRTY_QEMU_SOURCE=~/qemu fakedirty qemu build    build from a source tree instead
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("path", "build"), help="what to do; both print the binary's path")
    parser.add_argument("--unpatched", action="store_true", help="the same source without the series, stripped")


def run(arguments: argparse.Namespace) -> int:
    """Print the path of the binary; build it first when asked to."""
    if arguments.action == "path":
        print_line(str(unpatched_binary() if arguments.unpatched else qemu_binary()))
        return 0
    builds = Builds("none", strip=True) if arguments.unpatched else Builds()
    print_line(str(builds.build()))
    return 0

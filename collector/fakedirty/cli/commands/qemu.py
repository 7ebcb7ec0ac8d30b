"""``fakedirty qemu``: build QEMU with the patch series, or print where it is."""

from __future__ import annotations

import argparse

from fakedirty.cli.printing import print_line
from fakedirty.lab.qemu import RELEASE, Builds, built_binary, qemu_binary, releases, unpatched_binary

NAME = "qemu"
HELP = "build the patched QEMU, or print where it is"
EPILOG = """\
examples:
  fakedirty qemu build                     build QEMU 10.0 with the patch series (once; then cached)
  fakedirty qemu build --version 10.2      the same for QEMU 10.2
  fakedirty qemu path                      print the path of the binary that the other commands run
  fakedirty demo --qemu "$(fakedirty qemu path --version 10.2)"
                                           run one command with QEMU 10.2; FAKEDIRTY_QEMU=... does this for all commands
  FAKEDIRTY_QEMU_SOURCE=~/qemu-10.2.2.tar.xz fakedirty qemu build --version 10.2
                                           build from a tarball or directory of that release

The source is Debian's: 10.0 from Debian 13, 10.2 from sid, which moves on to later releases. When sid no longer has
10.2, name its source as in the last example.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("path", "build"), help="both print the path of the binary")
    parser.add_argument(
        "--version",
        choices=releases(),
        help=f"the release of QEMU; default: {RELEASE}, and for `path` what FAKEDIRTY_QEMU names, if it is set",
    )
    parser.add_argument("--unpatched", action="store_true", help="the same source without the patch series, stripped")


def run(arguments: argparse.Namespace) -> int:
    """Print the path of the binary, and build it first if the action is to build."""
    release = arguments.version or RELEASE
    if arguments.action == "build":
        binary = Builds(release, patched=not arguments.unpatched, strip=arguments.unpatched).build()
    elif arguments.unpatched:
        binary = unpatched_binary(release=release)
    else:
        binary = built_binary(release) if arguments.version else qemu_binary()
    print_line(str(binary))
    return 0

"""``fakedirty replay``: the table and the files of a recorded trace, made again."""

from __future__ import annotations

import argparse
from pathlib import Path

from fakedirty.service.replay import replay

from .observe import exit_status

NAME = "replay"
HELP = "make tables and files from a recorded trace"
EPILOG = """\
examples:
  fakedirty observe --record web.trace         record the trace of a QEMU
  fakedirty replay web.trace                   the table, on any machine, without root
  fakedirty replay web.trace --out runs        the files too: the same CSVs, to the byte
  fakedirty replay web.trace --json            one JSON object a line

exit status: that of `fakedirty observe` where the trace was recorded
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("trace", type=Path, metavar="FILE", help="the file that `fakedirty observe --record` wrote")
    parser.add_argument("--out", type=Path, metavar="DIR", help="record into DIR/<vm>/<start>-<migration>/")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of the table")


def run(arguments: argparse.Namespace) -> int:
    """Replay the whole trace."""
    return exit_status(replay(arguments.trace, arguments.out, json=arguments.json))

"""``fakedirty replay``: what a recorded trace comes to, again."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from fakedirty.model.sink import Sink
from fakedirty.observe.observer import Observer
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.output_checks import check_directory
from fakedirty.record.recorder import Recorder
from fakedirty.record.trace_file import Replay
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

from .observe import FAILED, verdict
from .printing import print_notice

NAME = "replay"
HELP = "make tables and files of a recorded trace again"
EPILOG = """\
examples:
  fakedirty observe --record web.trace         record all that is heard of a QEMU
  fakedirty replay web.trace                   the table, on any machine, without root
  fakedirty replay web.trace --out runs        the files too: the same CSVs, to the byte
  fakedirty replay web.trace --json            one JSON object a line

exit status: that of `fakedirty observe` where the trace was recorded
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("trace", type=Path, metavar="FILE", help="what `fakedirty observe --record FILE` wrote")
    parser.add_argument("--out", type=Path, metavar="DIR", help="record into DIR/<vm>/<start>-<migration>/")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of the table")


def run(arguments: argparse.Namespace) -> int:
    """Replay the whole trace."""
    if arguments.out is not None:
        check_directory(arguments.out, "--out")
    with ExitStack() as stack:
        trace = Replay(arguments.trace)
        stack.callback(trace.close)
        origin = trace.origin
        screen = JsonLines(sys.stdout, origin.run_id, lambda: origin.clock) if arguments.json else LiveTable(Terminal())
        sinks: list[Sink] = [screen]
        recorder = None
        if arguments.out is not None:
            then = {"replayed_from": {"trace": str(arguments.trace), "command_line": list(origin.command_line)}}
            recorder = Recorder(arguments.out, origin.run_id, {**origin.facts, **then}, lambda: origin.clock)
            sinks.insert(0, recorder)
        observer = Observer(trace, sinks)
        observer.attach()
        observer.run(lambda: trace.exhausted or (screen.reader_gone and recorder is None))
        observer.close()
    for directory in recorder.directories if recorder else ():
        print_notice(f"recorded: {directory}")
    return FAILED if recorder and recorder.failure else verdict(observer.valid)

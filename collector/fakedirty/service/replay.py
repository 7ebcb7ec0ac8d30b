"""A recorded trace, observed again: the same observer and the same outputs, without a QEMU."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from pathlib import Path

from fakedirty.log_levels import NOTICE
from fakedirty.model.sink import Sink
from fakedirty.observe.observer import Observer
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.output_checks import check_directory
from fakedirty.record.recorder import Recorder
from fakedirty.record.trace_file import Replay
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

from .session import ObservationResult

_log = logging.getLogger(__name__)


def replay(path: Path, out: Path | None, *, json: bool) -> ObservationResult:
    """Show a trace on standard output, and record it again.

    Args:
        path: The trace.
        out: The directory to record below; None to record nothing.
        json: JSON lines instead of the table.

    Raises:
        UsageError: `out` cannot be written to.
        RecordError: The file is no trace, or cut off where a report of QEMU is needed.
    """
    if out is not None:
        check_directory(out, "--out")
    with ExitStack() as stack:
        trace = Replay(path)
        stack.callback(trace.close)
        origin = trace.origin
        screen = JsonLines(sys.stdout, origin.run_id, lambda: origin.clock) if json else LiveTable(Terminal())
        sinks: list[Sink] = [screen]
        recorder = None
        if out is not None:
            then = {"replayed_from": {"trace": str(path), "command_line": list(origin.command_line)}}
            recorder = Recorder(out, origin.run_id, {**origin.facts, **then}, lambda: origin.clock)
            sinks.insert(0, recorder)
        observer = Observer(trace, sinks)
        observer.attach()
        observer.run(lambda: trace.exhausted or (screen.left and recorder is None))
        observer.close()
    for directory in recorder.directories if recorder else ():
        _log.log(NOTICE, "recorded: %s", directory)
    return ObservationResult(observer.valid, recorded=recorder is None or recorder.failure is None)

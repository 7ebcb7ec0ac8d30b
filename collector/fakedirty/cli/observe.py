"""``fakedirty observe``: watch the migrations of a running QEMU; show, record and serve what is seen."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fakedirty.errors import FakedirtyError, MissingError, QmpError, TargetError, UsageError
from fakedirty.export.exporter import Exporter
from fakedirty.export.serve import parse_address, serve
from fakedirty.model.migration import Migration
from fakedirty.model.sink import Sink
from fakedirty.model.words import Level
from fakedirty.observe import levels
from fakedirty.observe.elf import Binary
from fakedirty.observe.observer import Observer
from fakedirty.observe.target import Target
from fakedirty.qmp.client import Qmp
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.recorder import Recorder, read_clock
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal

from .targets import add_selectors, choose

NAME = "observe"
HELP = "observe migrations of a running QEMU: table, files, metrics"
EPILOG = """\
examples:
  fakedirty observe                            the one QEMU that runs, on the screen, until Ctrl-C
  fakedirty observe --vm web --once            the next migration of the VM named web
  fakedirty observe --out runs --pages         also files: rounds.csv, migration.json, toggles.csv, pages.parquet
  fakedirty observe --listen 127.0.0.1:9752    also Prometheus metrics, at http://127.0.0.1:9752/metrics
  fakedirty observe --qmp /run/vm.qmp --level qmp      without root, by QMP alone

exit status: 0 what was seen is valid; 1 failed; 2 wrong usage; 3 seen, but not valid (joined late, events lost,
conservation broken: see the table, or the reason in rounds.csv)
"""

VALID, FAILED, INVALID = 0, 1, 3

QMP_SECONDS = 0.5  # for a greeting: who holds a socket lets it wait for ever, and attaching is not to wait for facts

#: what QMP is asked for the manifest
QMP_FACTS = {
    "version": "query-version",
    "parameters": "query-migrate-parameters",
    "capabilities": "query-migrate-capabilities",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    add_selectors(parser)
    parser.add_argument(
        "--level", choices=[str(level) for level in levels.LEVELS], help="not the highest that is possible"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="record into DIR/<vm>/<start>-<migration>/")
    parser.add_argument("--pages", action="store_true", help="record every visited page too (level patched)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve Prometheus metrics there; port 0 is any free one")
    parser.add_argument("--once", action="store_true", help="end when a migration has ended")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of the table")
    parser.add_argument("--run-id", metavar="ID", help="groups what belongs together; made from the time if not given")


def run(arguments: argparse.Namespace) -> int:
    """Observe until told to stop, until QEMU ends, or with --once until a migration has ended."""
    if arguments.pages and arguments.out is None:
        raise UsageError("--pages needs a directory to record to: add --out DIR")
    address = parse_address(arguments.listen) if arguments.listen else None
    target = choose(arguments)
    level, reasons = _level(arguments, target)
    qmp_path, facts = _ask([arguments.qmp] if arguments.qmp else target.qmp_paths)
    run_id = arguments.run_id or f"observe-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"

    screen = JsonLines(sys.stdout, run_id, read_clock()) if arguments.json else LiveTable(Terminal())
    sinks: list[Sink] = [screen]
    recorder = None
    if arguments.out is not None:
        recorder = Recorder(arguments.out, run_id, _facts(target, facts, reasons))
        sinks.insert(0, recorder)  # what is said has been recorded
    with ExitStack() as stack:
        if address:
            exporter = Exporter()
            sinks.append(exporter)
            _say(f"metrics: {stack.enter_context(serve(exporter, *address))}")
        for higher, why in reasons.items():
            _say(f"not at level {higher}: {why}")
        stop = stack.enter_context(_stop_signals())
        observer = Observer(target, level, sinks, pages=arguments.pages, qmp_path=arguments.qmp or qmp_path)
        stack.callback(observer.close)
        observer.attach()
        _say(f"attached: {target.vm} pid {target.pid} at level {level}")
        # a reader who leaves, as `| head` does, ends it only if nothing else is done with what is seen
        observer.run(lambda: stop.is_set() or (screen.left and len(sinks) == 1), once=arguments.once)
        observer.close()
    for directory in recorder.directories if recorder else ():
        _say(f"recorded: {directory}")
    if arguments.once and not observer.migrations and not stop.is_set():
        raise TargetError(f"QEMU {target.pid} ended before a migration began")
    return FAILED if recorder and recorder.failure else verdict(observer.migrations)


def verdict(migrations: list[Migration]) -> int:
    """The exit status that tells whether all that was seen can be believed."""
    return VALID if all(migration.valid for migration in migrations) else INVALID


def _level(arguments: argparse.Namespace, target: Target) -> tuple[Level, Mapping[Level, str]]:
    """The level that was asked for, or the highest possible with the reasons against higher ones."""
    if arguments.level is not None:
        level = Level(Level.parse(arguments.level))
        if level is not Level.QMP and (why := levels.inability()):
            raise MissingError(f"level {level} is not possible here: {why}")
        return level, {}
    choice = levels.choose(target, qmp_reachable=bool(arguments.qmp or target.qmp_paths))
    if choice.level is None:
        why = "; ".join(f"{level}: {reason}" for level, reason in choice.reasons.items())
        raise TargetError(f"QEMU {target.pid} cannot be observed at any level ({why}); see fakedirty doctor")
    return choice.level, choice.reasons


def _facts(target: Target, qmp: dict[str, object], reasons: Mapping[Level, str]) -> dict[str, object]:
    """What the manifest says of this QEMU, as it was when the observer came."""
    qemu: dict[str, object] = {"pid": target.pid, "program": target.program}
    try:
        command_line = (target.proc / str(target.pid) / "cmdline").read_bytes()
        qemu["command_line"] = command_line.decode(errors="replace").split("\0")[:-1]
        binary = Binary(target.exe)
        qemu["build_id"] = binary.build_id
        binary.close()
    except (OSError, FakedirtyError):
        pass  # another user's process: what can be read of it is enough
    return {"qemu": qemu | qmp, "not_at_level": {str(level): why for level, why in reasons.items()}}


def _ask(paths: Iterable[Path]) -> tuple[Path | None, dict[str, object]]:
    """The first socket that answers, and what it says; a socket serves one client, so others may be held."""
    for path in paths:
        try:
            with Qmp.connect(path, timeout=QMP_SECONDS) as qmp:
                return path, {name: qmp.execute(command) for name, command in QMP_FACTS.items()}
        except QmpError:
            continue
    return None, {}


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, so that what was begun is ended properly."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

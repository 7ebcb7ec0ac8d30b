"""The observer of one QEMU, as the arguments of ``observe`` want it, and what its manifest says of that QEMU."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress

from fakedirty.errors import FakedirtyError, MissingError, QmpError, TargetError
from fakedirty.model.words import Level
from fakedirty.observe import levels
from fakedirty.observe.configuration import version_text
from fakedirty.observe.elf import Binary
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.observe.sizes import with_page_ring
from fakedirty.observe.target import Target
from fakedirty.qmp.monitor import connect
from fakedirty.qmp.peer import PeerError
from fakedirty.qmp.place import Address
from fakedirty.record.recorder import read_clock
from fakedirty.record.trace_file import Origin, TraceWriter

from .outlets import Outlets

_log = logging.getLogger(__name__)

QMP_SECONDS = 0.5  # for a greeting: who holds a socket lets it wait for ever, and attaching is not to wait for facts

#: what QMP is asked for the manifest
QMP_FACTS = {
    "version": "query-version",
    "parameters": "query-migrate-parameters",
    "capabilities": "query-migrate-capabilities",
}


def observer_of(
    target: Target, arguments: argparse.Namespace, outlets: Outlets, stack: ExitStack | None = None
) -> tuple[Observer, LiveTrace]:
    """An observer that is not yet attached, and what it hears; a trace that it records is closed by `stack`."""
    level, reasons = _level(arguments, target)
    monitor, facts = _ask([target.at(arguments.qmp)] if arguments.qmp else target.monitors)
    for higher, why in reasons.items():
        who = f"{target.vm}: " if arguments.all else ""
        print(f"{who}not at level {higher}: {why}", file=sys.stderr, flush=True)
    origin = Origin(outlets.run_id, read_clock(), sys.argv, _facts(target, facts, reasons))
    tap = None
    if arguments.record and stack is not None:
        tap = stack.enter_context(TraceWriter(arguments.record, origin))
    trace = LiveTrace(
        target,
        level,
        pages=arguments.pages,
        monitor=arguments.qmp or monitor,
        sizes=with_page_ring(arguments.page_ring),
        sample=arguments.sample,
    )
    return Observer(trace, outlets.sinks(target, origin, _version(facts)), tap), trace


def _level(arguments: argparse.Namespace, target: Target) -> tuple[Level, Mapping[Level, str]]:
    """The level that was asked for, or the highest possible with the reasons against higher ones."""
    if arguments.level is not None:
        level = Level(Level.parse(arguments.level))
        if level is not Level.QMP and (why := levels.inability()):
            raise MissingError(f"level {level} is not possible here: {why}")
        return level, {}
    choice = levels.choose(target, qmp_reachable=bool(arguments.qmp or target.has_monitor))
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


def _version(facts: Mapping[str, object]) -> str:
    """Empty where no monitor answered, or none as QEMU's does."""
    with suppress(KeyError, TypeError):
        return version_text(facts["version"])
    return ""


def _ask(monitors: Iterable[Address]) -> tuple[Address | None, dict[str, object]]:
    """The first monitor that answers, and what it says; a socket serves one client, so others may be held."""
    for address in monitors:
        try:
            with connect(address, timeout=QMP_SECONDS) as qmp:
                return address, {name: qmp.execute(command) for name, command in QMP_FACTS.items()}
        except PeerError as error:
            _log.warning("%s", error)
        except QmpError:
            continue
    return None, {}

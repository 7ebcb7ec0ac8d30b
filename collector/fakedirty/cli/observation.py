"""The observer of one QEMU, as the arguments of ``observe`` want it, and what its manifest says of that QEMU."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from fakedirty.errors import FakedirtyError, MissingError, QmpError, TargetError
from fakedirty.model.enums import Level
from fakedirty.model.vm_names import visible
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.bpf.buffer_sizes import with_page_ring
from fakedirty.observe.host import levels
from fakedirty.observe.host.executable_plans import ExecutablePlans
from fakedirty.observe.host.migration_capabilities import version_text
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.qmp.address import Address
from fakedirty.qmp.peer import PeerError
from fakedirty.qmp.turn import turn
from fakedirty.record.recorder import read_clock
from fakedirty.record.trace_file import TraceOrigin, TraceWriter

from .outputs import Outputs
from .printing import print_notice

_log = logging.getLogger(__name__)

QMP_SECONDS = 0.5  # for all of it: who holds a socket lets us wait for ever, and attaching is not to wait for facts

#: what QMP is asked for the manifest
QMP_FACTS = {
    "version": "query-version",
    "parameters": "query-migrate-parameters",
    "capabilities": "query-migrate-capabilities",
}


@dataclass(frozen=True, slots=True)
class Observation:
    """An observer, its trace of a QEMU, and what the manifest says of that QEMU, as far as it is known."""

    observer: Observer
    trace: LiveTrace
    facts: dict[str, Any]

    def learn(self) -> str:
        """Read what only QEMU's monitor knows; the one that answers is used first from then on.

        Returns:
            QEMU's version; empty where no monitor answers: it may be held by somebody, or its QEMU stand still.
        """
        address, answers = _ask(self.trace.monitors)
        if address is not None:
            self.trace.prefer(address)
            self.facts["qemu"] = {**self.facts["qemu"], **answers}
        return _version(answers)


def observation_of(
    target: Target,
    arguments: argparse.Namespace,
    outlets: Outputs,
    reasons: Reasons,
    *,
    stack: ExitStack | None = None,
    attachments: Attachments | None = None,
) -> Observation:
    """An observation that is not yet attached; a trace that it records is closed by `stack`.

    Its probes are its own, or among the `attachments` that it shares with others.
    """
    plans = attachments.plans if attachments else ExecutablePlans()
    level, against = _level(arguments, target, plans)
    reasons.report(target, against)
    facts = _facts(target, against, plans)
    trace = LiveTrace(
        target,
        level,
        pages=arguments.pages,
        monitor=arguments.qmp,
        sizes=with_page_ring(arguments.page_ring),
        sample=arguments.sample,
        hold=arguments.hold_socket,
        attachments=attachments,
    )
    origin = TraceOrigin(outlets.run_id, read_clock(), sys.argv, facts)
    tap = None
    if arguments.record and stack is not None:
        tap = stack.enter_context(TraceWriter(arguments.record, origin))
        outlets.taps(tap)
    return Observation(Observer(trace, outlets.sinks(target, origin), tap), trace, facts)


class Reasons:
    """Why QEMUs are not observed at a higher level: each reason once. Of several, the first one is `named`."""

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._reported: set[tuple[Level, str]] = set()

    def report(self, target: Target, against: Mapping[Level, str]) -> None:
        """Those that are new."""
        for level, why in against.items():
            if (level, why) not in self._reported:
                self._reported.add((level, why))
                print_notice(f"{f'{target.vm}: ' if self._named else ''}not at level {level}: {why}")


def _level(arguments: argparse.Namespace, target: Target, plans: ExecutablePlans) -> tuple[Level, Mapping[Level, str]]:
    """The level that was asked for, or the highest possible with the reasons against higher ones."""
    if arguments.level is not None:
        level = Level(Level.parse(arguments.level))
        if level is not Level.QMP and (why := levels.inability()):
            raise MissingError(f"level {level} is not possible here: {why}")
        return level, {}
    choice = levels.choose(target, qmp_reachable=bool(arguments.qmp or target.has_monitor), plans=plans)
    if choice.level is None:
        why = "; ".join(f"{level}: {reason}" for level, reason in choice.reasons.items())
        raise TargetError(f"QEMU {target.pid} cannot be observed at any level ({why}); see fakedirty doctor")
    return choice.level, choice.reasons


def _facts(target: Target, reasons: Mapping[Level, str], plans: ExecutablePlans) -> dict[str, Any]:
    """What the manifest says of this QEMU, without its monitor."""
    qemu: dict[str, object] = {"pid": target.pid, "program": target.program}
    try:
        command_line = (target.proc / str(target.pid) / "cmdline").read_bytes()
        qemu["command_line"] = [*map(visible, command_line.decode(errors="surrogateescape").split("\0")[:-1])]
        qemu["build_id"] = plans.of_executable(target.exe, "build id", lambda binary: binary.build_id)
    except (OSError, FakedirtyError):
        pass  # another user's process: what can be read of it is enough
    return {"qemu": qemu, "not_at_level": {str(level): why for level, why in reasons.items()}}


def _version(facts: Mapping[str, object]) -> str:
    """Empty where no monitor answered, or none as QEMU's does."""
    with suppress(KeyError, TypeError):
        return version_text(facts["version"])
    return ""


def _ask(monitors: Iterable[Address]) -> tuple[Address | None, dict[str, object]]:
    """The first monitor that answers, and what it says; a socket serves one client, so others may be held."""
    for address in monitors:
        try:
            with turn([address], QMP_SECONDS) as qmp:
                return address, {name: qmp.execute(command) for name, command in QMP_FACTS.items()}
        except PeerError as error:
            _log.warning("%s", error)
        except QmpError:
            continue
    return None, {}

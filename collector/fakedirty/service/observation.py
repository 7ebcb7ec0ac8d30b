"""The observation of one QEMU, as a configuration wants it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty.errors import MissingError, TargetError
from fakedirty.log_levels import NOTICE
from fakedirty.model.enums import Level
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.bpf.buffer_sizes import with_page_ring
from fakedirty.observe.host import levels
from fakedirty.observe.host.executable_plans import ExecutablePlans
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.record.recorder import read_clock
from fakedirty.record.trace_file import TraceOrigin, TraceWriter

from .config import BEST, Observe
from .outputs import Outputs
from .qemu_facts import monitor_facts, process_facts, version_in

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Observation:
    """An observer, its trace of a QEMU, and the facts about that QEMU that are known so far."""

    observer: Observer
    trace: LiveTrace
    facts: dict[str, Any]

    def read_monitor(self) -> str:
        """Read the facts that only QEMU's monitor knows; the monitor that answers is used first from then on.

        Returns:
            The version of QEMU; empty where no monitor answers: a client may hold it, or QEMU may be stopped.
        """
        address, answers = monitor_facts(self.trace.monitors)
        if address is not None:
            self.trace.prefer(address)
            self.facts["qemu"] = {**self.facts["qemu"], **answers}
        return version_in(answers)


def make_observation(
    target: Target,
    observe: Observe,
    outputs: Outputs,
    reasons: LevelReasons,
    *,
    monitor: Path | None = None,
    open_trace: Callable[[TraceOrigin], TraceWriter] | None = None,
    attachments: Attachments | None = None,
) -> Observation:
    """An observation that is not attached yet.

    Args:
        target: The QEMU.
        observe: The level, page records and the rest of the table `[observe]`.
        outputs: Where the observation goes.
        reasons: Reports why the level is not a higher one.
        monitor: The QMP socket to use; None for those that are known of the QEMU.
        open_trace: Makes the file that the trace is recorded in.
        attachments: The probes that observations share; None for probes of its own.

    Raises:
        TargetError: The QEMU cannot be observed at any level.
        MissingError: The level of the configuration is not possible on this host.
    """
    plans = attachments.plans if attachments else ExecutablePlans()
    level, against = _level(observe, target, monitor, plans)
    reasons.report(target, against)
    facts = process_facts(target, against, plans)
    trace = LiveTrace(
        target,
        level,
        pages=observe.pages,
        monitor=monitor,
        sizes=with_page_ring(observe.page_ring),
        sample=observe.sample,
        hold=observe.hold_socket,
        attachments=attachments,
    )
    origin = TraceOrigin(outputs.run_id, read_clock(), sys.argv, facts)
    tap = open_trace(origin) if open_trace else None
    return Observation(Observer(trace, outputs.sinks_for(target, origin), tap), trace, facts)


class LevelReasons:
    """Reports why QEMUs are not observed at a higher level, each reason once; of several QEMUs it names the first."""

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._reported: set[tuple[Level, str]] = set()

    def report(self, target: Target, against: Mapping[Level, str]) -> None:
        """Report the reasons of one QEMU: new ones as a notice, the others only at the level debug."""
        for level, why in against.items():
            new = (level, why) not in self._reported
            self._reported.add((level, why))
            prefix = f"{target.vm}: " if self._named else ""
            _log.log(NOTICE if new else logging.DEBUG, "%snot at level %s: %s", prefix, level, why)


def _level(
    observe: Observe, target: Target, monitor: Path | None, plans: ExecutablePlans
) -> tuple[Level, Mapping[Level, str]]:
    """The level of the configuration, or the highest possible one with the reasons against higher ones."""
    if observe.level != BEST:
        level = Level(Level.parse(observe.level))
        if level is not Level.QMP and (why := levels.inability()):
            raise MissingError(f"level {level} is not possible here: {why}")
        return level, {}
    choice = levels.choose(target, qmp_reachable=bool(monitor or target.has_monitor), plans=plans)
    if choice.level is None:
        why = "; ".join(f"{level}: {reason}" for level, reason in choice.reasons.items())
        raise TargetError(f"QEMU {target.pid} cannot be observed at any level ({why}); see fakedirty doctor")
    return choice.level, choice.reasons

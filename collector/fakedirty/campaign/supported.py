"""Whether the QEMU at hand takes a treatment: it is asked, never judged by its version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.machine import INCOMING, Machine, machine
from fakedirty.lab.migrate import Settings, set_up
from fakedirty.model.enums import Level
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.levels import demand
from fakedirty.observe.host.target import by_pid
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.mode import supports
from fakedirty.qmp.parameters import HASH, MODE
from fakedirty.qmp.supported import read_support

from .spec import Spec, Toggle
from .treatments import Arm

NOTHING = ("-machine", "none", "-S")  # it is to answer, not to run


@dataclass(frozen=True, slots=True)
class UnsupportedTreatment:
    """A treatment that QEMU refuses, and its words."""

    treatment: str
    reason: str


def is_patched(qemu: Path, level: Level) -> bool:
    """Whether it carries the series; raises where it cannot be observed at `level` here."""
    with machine("asked", qemu, NOTHING) as asked:
        if level is not Level.QMP:
            target = by_pid(asked.pid)
            with Binary(target.exe) as binary:
                demand(target, level, binary)
        return supports(asked.qmp)


def left_out(qemu: Path, spec: Spec, arms: Sequence[Arm]) -> list[UnsupportedTreatment]:
    """Those that a source or a destination refuses to be set up for, or to be toggled as the campaign has it."""
    memory = max(spec.factors.memory_mib)
    refused = []
    for arm in arms:
        with _pair(qemu) as (source, destination):
            toggles = [each for each in spec.toggles if not each.treatments or arm.name in each.treatments]
            try:
                settings = arm.settings(memory, spec.downtime_limit_ms, audit=spec.audit)
                if why := _lacks(source.qmp, settings, toggles):
                    refused.append(UnsupportedTreatment(arm.name, why))
                    continue
                set_up(source.qmp, destination.qmp, settings)
                for toggle in toggles:
                    set_toggle(source.qmp, toggle)
            except QmpRefusedError as error:
                refused.append(UnsupportedTreatment(arm.name, str(error)))
    return refused


def _lacks(qmp: Qmp, settings: Settings, toggles: Sequence[Toggle]) -> str:
    """Which of the modes and hashes a QEMU with the series has not, in words; empty where it has all it is known to."""
    has = read_support(qmp)
    wanted = [(settings.parameters.get(MODE), settings.parameters.get(HASH))]
    wanted += [(toggle.mode, toggle.hash or None) for toggle in toggles]
    found = (has.lacks(*(None if word is None else str(word) for word in pair)) for pair in wanted)
    return next(filter(None, found), "") if has.modes else ""


def set_toggle(qmp: Qmp, toggle: Toggle) -> None:
    """Mode and hash at once, as the toggle has them."""
    qmp.execute("migrate-set-parameters", {MODE: toggle.mode} | ({HASH: toggle.hash} if toggle.hash else {}))


@contextmanager
def _pair(qemu: Path) -> Iterator[tuple[Machine, Machine]]:
    """Fresh ones: what one treatment has set must not stand in the way of the next."""
    with (
        machine("asked", qemu, NOTHING) as source,
        machine("asked", qemu, [*NOTHING, *INCOMING]) as destination,
    ):
        yield source, destination

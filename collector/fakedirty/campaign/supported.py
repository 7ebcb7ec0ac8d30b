"""Which treatments a QEMU takes: it is set up for each of them. Its version is never looked at."""

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
from .treatments import TreatmentArm

NO_MACHINE = ("-machine", "none", "-S")  # QEMU answers, and runs nothing
PROBE = "probe"


@dataclass(frozen=True, slots=True)
class UnsupportedTreatment:
    """A treatment that QEMU refuses, and the reason that it gives."""

    treatment: str
    reason: str


def is_patched(qemu: Path, level: Level) -> bool:
    """Whether a QEMU has the patch series.

    Raises:
        FakedirtyError: it cannot be observed at `level` on this host.
    """
    with machine(PROBE, qemu, NO_MACHINE) as probe:
        if level is not Level.QMP:
            target = by_pid(probe.pid)
            with Binary(target.exe) as binary:
                demand(target, level, binary)
        return supports(probe.qmp)


def left_out(qemu: Path, spec: Spec, arms: Sequence[TreatmentArm]) -> list[UnsupportedTreatment]:
    """Find the treatments that a source or a destination refuses.

    Args:
        qemu: the binary of both.
        spec: the campaign file, with the toggles that each treatment must take.
        arms: the treatments.

    Returns:
        The refused ones, each with its reason.
    """
    memory = max(spec.factors.memory_mib)
    refused = []
    for arm in arms:
        with _pair(qemu) as (source, destination):
            toggles = [each for each in spec.toggles if not each.treatments or arm.name in each.treatments]
            try:
                settings = arm.settings(memory, spec.downtime_limit_ms, audit=spec.audit)
                if reason := _lacks(source.qmp, settings, toggles):
                    refused.append(UnsupportedTreatment(arm.name, reason))
                    continue
                set_up(source.qmp, destination.qmp, settings)
                for toggle in toggles:
                    set_toggle(source.qmp, toggle)
            except QmpRefusedError as error:
                refused.append(UnsupportedTreatment(arm.name, str(error)))
    return refused


def _lacks(qmp: Qmp, settings: Settings, toggles: Sequence[Toggle]) -> str:
    """The modes and hashes that a QEMU with the patch series lacks, in words; empty if it has all of them."""
    has = read_support(qmp)
    wanted = [(settings.parameters.get(MODE), settings.parameters.get(HASH))]
    wanted += [(toggle.mode, toggle.hash or None) for toggle in toggles]
    reasons = (has.lacks(*(None if value is None else str(value) for value in pair)) for pair in wanted)
    return next(filter(None, reasons), "") if has.modes else ""


def set_toggle(qmp: Qmp, toggle: Toggle) -> None:
    """Set mode and hash together, in one command."""
    qmp.execute("migrate-set-parameters", {MODE: toggle.mode} | ({HASH: toggle.hash} if toggle.hash else {}))


@contextmanager
def _pair(qemu: Path) -> Iterator[tuple[Machine, Machine]]:
    """A new source and destination: the settings of one treatment must not affect the next."""
    with (
        machine(PROBE, qemu, NO_MACHINE) as source,
        machine(PROBE, qemu, [*NO_MACHINE, *INCOMING]) as destination,
    ):
        yield source, destination

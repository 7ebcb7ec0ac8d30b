"""At which level a QEMU can be observed, and why not at a higher one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import FakedirtyError, MissingError, TargetError
from fakedirty.model.enums import Level

from . import capabilities, headers, host_checks
from .elf import Binary
from .executable_plans import ExecutablePlans
from .machine import HostCheck
from .target import Target

# functions that find zero pages; each version of QEMU has some of them
ZERO_TESTS = ("buffer_is_zero", "buffer_is_zero_ool", "buffer_is_zero_ge256")

# The trace event that ends a round. If a QEMU has both, the first is used: records of the second have no version.
ROUND_PROBES = ("migration_round", "fake_dirty_round")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a QEMU must have for a level.

    Attributes:
        probes: trace events, all of them.
        any_probe: trace events, at least one of them.
        symbols: functions and tables, all of them.
        any_symbol: functions, at least one of them.
        lacking: why a QEMU may lack them.
    """

    level: Level
    probes: tuple[str, ...] = ()
    any_probe: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    any_symbol: tuple[str, ...] = ()
    lacking: str = ""


# from the highest level
NEEDS = (
    Needs(
        Level.PATCHED,
        probes=("fake_dirty_batch", "fake_dirty_mode", "migrate_set_state"),
        any_probe=ROUND_PROBES,
        lacking="this QEMU was built without the fake dirty patch series, or without the dtrace trace backend",
    ),
    Needs(
        Level.USDT,
        probes=("ram_save_page", "migration_bitmap_sync_start", "migrate_set_state"),
        any_symbol=ZERO_TESTS,
        lacking="this QEMU was built without the dtrace trace backend, or does not export its functions",
    ),
    Needs(
        Level.STOCK,
        symbols=(
            "qemu_put_buffer_async",
            "memory_global_dirty_log_start",
            "memory_global_dirty_log_sync",
            "migrate_set_state",
            "MigrationStatus_lookup",
        ),
        any_symbol=ZERO_TESTS,
        lacking="this QEMU does not export its functions",
    ),
)


#: the levels that a user can choose, from the lowest
LEVELS = (Level.QMP, *(needs.level for needs in reversed(NEEDS)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The highest level that is possible (None: not even qmp), and for each higher one why it is not."""

    level: Level | None
    reasons: dict[Level, str]


def choose(
    target: Target, qmp_reachable: bool, status: Path = Path("/proc/self/status"), plans: ExecutablePlans | None = None
) -> Choice:
    """The highest level at which a QEMU can be observed. Raises no error for what QEMU or this host lacks.

    Args:
        target: the QEMU.
        qmp_reachable: one of its monitors answers.
        status: the status of this process, with its capabilities.
        plans: a cache of results for executables.
    """
    reasons: dict[Level, str] = {}
    unable = inability(status)
    try:
        lacking = (plans or ExecutablePlans()).of_executable(target.exe, __name__, _lacking)
        for level, lacks in lacking.items():
            if not (why := lacks or unable):
                return Choice(level, reasons)
            reasons[level] = why
    except FakedirtyError as error:
        unable = unable or str(error)
    for needs in NEEDS:
        reasons.setdefault(needs.level, unable)
    if qmp_reachable:
        return Choice(Level.QMP, reasons)
    reasons[Level.QMP] = "no QMP socket is known or reachable: name one with --qmp"
    return Choice(None, reasons)


def _lacking(binary: Binary) -> dict[Level, str]:
    """Why each level is not possible on an executable, from the highest; empty if it is."""
    return {needs.level: why_not(binary, needs) for needs in NEEDS}


def why_not(binary: Binary, needs: Needs) -> str:
    """What an executable lacks for a level, in one sentence; empty if it has all."""
    absent: Sequence[str] = [name for name in needs.probes if name not in binary.usdt]
    if needs.any_probe and not any(name in binary.usdt for name in needs.any_probe):
        absent = [*absent, " or ".join(needs.any_probe)]
    absent = [*absent, *(name for name in needs.symbols if binary.symbol(name) is None)]
    if needs.any_symbol and not any(map(binary.symbol, needs.any_symbol)):
        absent = [*absent, " or ".join(needs.any_symbol)]
    return f"{needs.lacking} ({', '.join(absent)} not found)" if absent else ""


def inability(status: Path = Path("/proc/self/status"), rows: Sequence[HostCheck] | None = None) -> str:
    """Why this process cannot use BPF on this host; empty if it can.

    Args:
        status: the status of this process, with its capabilities.
        rows: what was checked on the host; None: it is checked now.
    """
    if obstacle := host_checks.blocking(host_checks.check() if rows is None else rows):
        return f"{obstacle}; the level qmp works without"
    lacking = capabilities.missing(status)
    if lacking:
        listed = ", ".join(f"{name} (to {purpose})" for name, purpose in lacking.items())
        return f"missing {listed}: run as root; the level qmp works without"
    try:
        headers.find()
        _require_bcc()
    except MissingError as error:
        return str(error)
    return ""


def _require_bcc() -> None:
    """Raise MissingError if bcc is not installed. This does not import bcc: only bpf/program.py does."""
    from importlib.util import find_spec

    if find_spec("bcc") is None:
        raise MissingError("the Python module bcc is missing: install python3-bpfcc, and use --system-site-packages")


def demand(target: Target, level: Level, binary: Binary, status: Path = Path("/proc/self/status")) -> None:
    """Raise an error if a QEMU cannot be observed at a level.

    Raises:
        TargetError: the executable lacks something.
        MissingError: this host or this process lacks something.
    """
    for needs in NEEDS:
        if needs.level == level and (why := why_not(binary, needs)):
            raise TargetError(f"QEMU {target.pid} cannot be observed at level {level}: {why}; see fakedirty doctor")
    if why := inability(status):
        raise MissingError(f"level {level} is not possible here: {why}")

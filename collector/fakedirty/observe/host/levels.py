"""Which level a QEMU can be observed at, and why not at a higher one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import FakedirtyError, MissingError, TargetError
from fakedirty.model.enums import Level
from fakedirty.observe.bpf.probe_plans import ExecutablePlans
from fakedirty.observe.host import capabilities

from . import headers, host_checks
from .elf import Binary
from .host_checks import HostCheck
from .target import Target

# functions that tell a zero page, over the versions: a QEMU has some of them
ZERO_TESTS = ("buffer_is_zero", "buffer_is_zero_ool", "buffer_is_zero_ge256")

# the trace event that ends a round: of several, the first that a QEMU has. The second's records have no version.
ROUND_PROBES = ("migration_round", "fake_dirty_round")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a level asks of a QEMU: all of `probes` and `symbols`, one of `any_probe`, one of `any_symbol`."""

    level: Level
    probes: tuple[str, ...] = ()
    any_probe: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    any_symbol: tuple[str, ...] = ()
    lacking: str = ""


# from the highest
NEEDS = (
    Needs(
        Level.PATCHED,
        probes=("fake_dirty_batch", "fake_dirty_mode", "migrate_set_state"),
        any_probe=ROUND_PROBES,
        lacking="this QEMU was built without the fake dirty series, or without the dtrace trace backend",
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


#: the levels that can be asked for, from the lowest
LEVELS = (Level.QMP, *(needs.level for needs in reversed(NEEDS)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The highest level that is possible (None: not even QMP), and for each higher one why it is not."""

    level: Level | None
    reasons: dict[Level, str]


def choose(
    target: Target, qmp_reachable: bool, status: Path = Path("/proc/self/status"), plans: ExecutablePlans | None = None
) -> Choice:
    """The level for a target; never raises for what the target or this host lacks. `plans` know executables already."""
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
    """Why each level is not possible on an executable, from the highest; empty where it is."""
    return {needs.level: why_not(binary, needs) for needs in NEEDS}


def why_not(binary: Binary, needs: Needs) -> str:
    """What an executable lacks for a level; empty when it has all."""
    absent: Sequence[str] = [name for name in needs.probes if name not in binary.usdt]
    if needs.any_probe and not any(name in binary.usdt for name in needs.any_probe):
        absent = [*absent, " or ".join(needs.any_probe)]
    absent = [*absent, *(name for name in needs.symbols if binary.symbol(name) is None)]
    if needs.any_symbol and not any(map(binary.symbol, needs.any_symbol)):
        absent = [*absent, " or ".join(needs.any_symbol)]
    return f"{needs.lacking} ({', '.join(absent)} not found)" if absent else ""


def inability(status: Path = Path("/proc/self/status"), rows: Sequence[HostCheck] | None = None) -> str:
    """Why this process cannot use BPF on this host; empty when it can. `rows` are those of another host."""
    if obstacle := host_checks.blocking(host_checks.look() if rows is None else rows):
        return f"{obstacle}; the level qmp works without"
    lacking = capabilities.missing(status)
    if lacking:
        spelled = ", ".join(f"{name} (to {purpose})" for name, purpose in lacking.items())
        return f"missing {spelled}: run as root; the level qmp works without"
    try:
        headers.find()
        _require_bcc()
    except MissingError as error:
        return str(error)
    return ""


def _require_bcc() -> None:
    """MissingError where bcc is not installed; it is looked for, not loaded (bpf.py does that)."""
    from importlib.util import find_spec

    if find_spec("bcc") is None:
        raise MissingError("the Python module bcc is missing: install python3-bpfcc, and use --system-site-packages")


def demand(target: Target, level: Level, binary: Binary, status: Path = Path("/proc/self/status")) -> None:
    """TargetError or MissingError when `level` is asked for and cannot be."""
    for needs in NEEDS:
        if needs.level == level and (why := why_not(binary, needs)):
            raise TargetError(f"QEMU {target.pid} cannot be observed at level {level}: {why}; see fakedirty doctor")
    if why := inability(status):
        raise MissingError(f"level {level} is not possible here: {why}")

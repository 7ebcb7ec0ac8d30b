"""The configuration of a QEMU that decides what can be counted: its migration capabilities, and huge pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty.model.enums import Level
from fakedirty.observe.decode import blind_spots
from fakedirty.qmp import dirty_limit
from fakedirty.qmp.monitor import Address, Monitor
from fakedirty.qmp.supported import FakeDirtySupport, read_support
from fakedirty.qmp.turn import TASK_SECONDS, turn
from fakedirty.qmp.validation import parsing_answers

#: capabilities of migration by which pages take a route that passes by the probes, each with that route
ROUTES = {
    "multifd": blind_spots.MULTIFD,
    "xbzrle": blind_spots.XBZRLE,
    "compress": blind_spots.COMPRESSION,
    "mapped-ram": blind_spots.MAPPED_RAM,
}
_POSTCOPY = "postcopy-ram"
BASE_PAGE = 4096


def version(qmp: Monitor) -> str:
    """QEMU's version, with that of its package."""
    return version_text(qmp.execute("query-version"))


def version_text(answer: Any) -> str:
    """The answer of query-version as text, ``10.0.13 (Debian 1:10.0.13)``."""
    numbers = ".".join(str(answer["qemu"][part]) for part in ("major", "minor", "micro"))
    return f"{numbers} {answer['package']}".strip()


def capabilities(qmp: Monitor) -> list[str]:
    """The capabilities of migration that are on."""
    answer: Any = qmp.execute("query-migrate-capabilities")
    return [str(entry["capability"]) for entry in answer if entry["state"]]


@dataclass(frozen=True, slots=True)
class MigrationCapabilities:
    """What a QEMU reports by QMP: its version, the capabilities that are on, and its fake dirty modes and hashes."""

    version: str
    capabilities: list[str]
    abilities: FakeDirtySupport


def read(address: Address, timeout: float = TASK_SECONDS) -> MigrationCapabilities:
    """Read it from the QEMU at an address, within `timeout` seconds. Raises QmpError if QEMU does not answer."""
    with turn([address], timeout) as qmp, parsing_answers(address):
        return MigrationCapabilities(version(qmp), capabilities(qmp), read_support(qmp))


def consequences(
    enabled: Iterable[str], level: Level | None, *, counts_channels: bool = False, has_series: bool = False
) -> dict[str, str]:
    """What capabilities mean for the counts of a level.

    Args:
        enabled: the capabilities that are on.
        level: the level at which QEMU is observed; None: at none.
        counts_channels: probes find the packets of multifd in this executable.
        has_series: this QEMU has the patch series.

    Returns:
        By capability what it means. Capabilities that change nothing are left out.
    """
    found = {}
    if level is Level.QMP and dirty_limit.CAPABILITY in enabled and not has_series:
        return {dirty_limit.CAPABILITY: f"no migration is seen at level {level}: {dirty_limit.REASON}"}
    if level not in blind_spots.MISSED:
        return {}
    missed = blind_spots.MISSED[level] - ({blind_spots.MULTIFD} if counts_channels else set())
    for name in enabled:
        if ROUTES.get(name) in missed:
            found[name] = f"no share at level {level}: {blind_spots.BYPASSES[ROUTES[name]][1]}"
        elif name == "xbzrle":
            found[name] = f"at level {level} pages are classed, but it is not known which of them xbzrle sent as deltas"
        elif name == _POSTCOPY:
            found[name] = f"no share at level {level} from the switch to postcopy on"
    return found


_KERNEL_PAGE = re.compile(r"^KernelPageSize:\s+(\d+) kB", re.MULTILINE)


def huge_pages(proc: Path, pid: int) -> list[int]:
    """Sizes in bytes of the huge pages that a process has mapped; empty also if that cannot be read."""
    try:
        smaps = (proc / str(pid) / "smaps").read_text()
    except OSError:
        return []
    return sorted({size for match in _KERNEL_PAGE.findall(smaps) if (size := int(match) << 10) > BASE_PAGE})

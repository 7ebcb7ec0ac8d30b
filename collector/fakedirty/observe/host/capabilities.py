"""The Linux capabilities that observing needs, and those of them that this process lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .uprobe_permission import may_create_uprobes

# number in linux/capability.h, and the work that needs it
NEEDED = {
    "CAP_BPF": (39, "load BPF programs"),
    "CAP_PERFMON": (38, "attach them to another process"),
    "CAP_SYS_PTRACE": (19, "read the memory and the executable of another user's process"),
    "CAP_SYS_ADMIN": (21, "create uprobes, for which this kernel requires it"),
}
_ADMIN_INCLUDES = frozenset({"CAP_BPF", "CAP_PERFMON"})


def missing(
    status: Path = Path("/proc/self/status"), can_create: Callable[[], bool] = may_create_uprobes
) -> dict[str, str]:
    """The capabilities that are needed here and not effective, each with the work that needs it.

    Args:
        status: /proc/PID/status of this process.
        can_create: whether this process may create uprobes.
    """
    effective = 0
    for line in status.read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    lacking = {name: purpose for name, (number, purpose) in NEEDED.items() if not effective >> number & 1}
    if "CAP_SYS_ADMIN" not in lacking:
        return {name: purpose for name, purpose in lacking.items() if name not in _ADMIN_INCLUDES}
    # without CAP_PERFMON it cannot be found out whether the kernel requires more than that
    if "CAP_PERFMON" in lacking or can_create():
        del lacking["CAP_SYS_ADMIN"]
    return lacking

"""Which capabilities observing needs, and which of them this process lacks."""

from __future__ import annotations

from pathlib import Path

# number in linux/capability.h, and what needs it
CAPABILITIES = {
    "CAP_BPF": (39, "load BPF programs"),
    "CAP_PERFMON": (38, "attach them to another process"),
    "CAP_SYS_PTRACE": (19, "read the memory and the executable of another user's process"),
    "CAP_SYS_ADMIN": (21, "create uprobes (on kernels that still ask for it)"),
}
_ALL_BUT = frozenset({"CAP_SYS_ADMIN"})  # what an unprivileged BPF user can do without


def missing(status: Path = Path("/proc/self/status")) -> dict[str, str]:
    """The capabilities that are not effective, each with what needs it; root has them all."""
    effective = 0
    for line in status.read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    return {
        name: purpose
        for name, (number, purpose) in CAPABILITIES.items()
        if not effective >> number & 1 and name not in _ALL_BUT
    }

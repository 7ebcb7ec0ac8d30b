"""What of the running kernel observing rests on."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel that runs. `problems` are what it lacks, with what that means; empty when it has all.

    `btf` is no need of ours (probes are compiled against headers), but other tools ask for it.
    """

    release: str
    uprobes: bool
    ring_buffer: bool
    jit: bool
    btf: bool
    problems: tuple[str, ...]


RING_BUFFER_SINCE = (5, 8)


def look(root: Path = Path("/"), release: str | None = None) -> Kernel:
    """Read what the kernel says of itself; nothing is loaded or attached."""
    release = release or platform.release()
    uprobes = (root / "sys/bus/event_source/devices/uprobe/type").exists()
    ring_buffer = _version(release) >= RING_BUFFER_SINCE
    jit = _text(root / "proc/sys/net/core/bpf_jit_enable") not in ("0",)
    problems = (
        "" if uprobes else _without_uprobes(root),
        "" if ring_buffer else "it has no BPF ring buffer (Linux 5.8): no level but qmp",
        "" if jit else "BPF is interpreted: hashing is many times slower (sysctl net.core.bpf_jit_enable=1)",
    )
    return Kernel(
        release,
        uprobes=uprobes,
        ring_buffer=ring_buffer,
        jit=jit,
        btf=(root / "sys/kernel/btf/vmlinux").exists(),
        problems=tuple(problem for problem in problems if problem),
    )


def _without_uprobes(root: Path) -> str:
    if not (root / "sys/bus/event_source/devices").is_dir():
        return "whether it has uprobes cannot be seen, as /sys is not mounted here or hidden: no level but qmp"
    return "it has no uprobes (CONFIG_UPROBE_EVENTS): no level but qmp"


def _version(release: str) -> tuple[int, ...]:
    numbers = release.split("-", maxsplit=1)[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # namespaces of containers hide it; then the kernel's default holds
        return None

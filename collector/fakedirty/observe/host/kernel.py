"""Features of the running kernel that observing needs."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kernel:
    """The running kernel.

    Attributes:
        release: its release, as ``uname -r`` prints it.
        uprobes: it has uprobes.
        ring_buffer: it has the BPF ring buffer.
        jit: BPF programs are compiled.
        btf: it has BTF. Probes do not need it, as they are compiled against headers; other tools do.
        problems: what it lacks, with what that means; empty: nothing.
    """

    release: str
    uprobes: bool
    ring_buffer: bool
    jit: bool
    btf: bool
    problems: tuple[str, ...]


RING_BUFFER_SINCE = (5, 8)


def read(root: Path = Path("/"), release: str | None = None) -> Kernel:
    """The kernel's features, by its files below `root` and its release. Loads and attaches nothing."""
    release = release or platform.release()
    uprobes = (root / "sys/bus/event_source/devices/uprobe/type").exists()
    ring_buffer = _version(release) >= RING_BUFFER_SINCE
    jit = _text(root / "proc/sys/net/core/bpf_jit_enable") not in ("0",)
    problems = (
        "" if uprobes else _without_uprobes(root),
        "" if ring_buffer else "it has no BPF ring buffer (Linux 5.8): no level but qmp",
        "" if jit else "it interprets BPF: hashing is many times slower (sysctl net.core.bpf_jit_enable=1)",
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
        return "it is not known whether it has uprobes, as /sys is not mounted or hidden: no level but qmp"
    return "it has no uprobes (CONFIG_UPROBE_EVENTS): no level but qmp"


def _version(release: str) -> tuple[int, ...]:
    numbers = release.split("-", maxsplit=1)[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # a container may hide it; then the kernel's default is taken
        return None

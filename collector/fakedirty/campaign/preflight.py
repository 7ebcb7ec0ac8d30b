"""What is made sure of before the first run: that the host has room for the guests, runs them, and can shape links."""

from __future__ import annotations

import re
from pathlib import Path

from fakedirty.errors import LabError, UsageError
from fakedirty.lab.guests.accelerator import choose_accelerator
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.network import shaped_network

from .spec import CampaignFile, Spec
from .treatments import ARMS

RESERVE_MIB = 512  # for two QEMU themselves, the observer, and the host
KIB = 1 << 10


def needed_mib(spec: Spec) -> tuple[int, str]:
    """What the largest run of a campaign takes of the host, in MiB, and how that comes about."""
    memory = max(spec.factors.memory_mib)
    cache = max(ARMS[name].cache_mib(memory) for name in spec.factors.treatment)
    parts = [(2 * memory, f"two guests of {memory} MiB"), (RESERVE_MIB, f"a reserve of {RESERVE_MIB} MiB")]
    if cache:
        parts.append((cache, f"a cache of {cache} MiB"))
    if spec.audit:
        parts.append((memory, "a copy of every page for the audit"))
    return sum(mib for mib, _ in parts), ", ".join(why for _, why in parts)


def check_memory(spec: Spec, meminfo: Path = Path("/proc/meminfo")) -> None:
    """UsageError where the host has less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    if found is None:
        raise LabError(f"{meminfo} has no MemAvailable: this kernel does not say what memory is free")
    available = int(found[1]) // KIB
    needed, why = needed_mib(spec)
    if needed > available:
        raise UsageError(f"factors.memory_mib: {needed} MiB are needed ({why}), and this host has {available} MiB free")


def check_accelerator(file: CampaignFile, qemu: Path) -> None:
    """UsageError where KVM was asked for, and does not run a guest of the kinds that there are."""
    if file.spec.accelerator == "tcg":
        return
    for name in sorted({workload.guest for workload in file.workloads.values()}):
        found = choose_accelerator(qemu, build_guest(name))
        if found.name != file.spec.accelerator:
            raise UsageError(f"accelerator: this host does not run the guests by KVM: {found.reason}; take 'tcg'")


def check_links(spec: Spec) -> None:
    """LabError where this kernel, or this user, cannot make a link of every bandwidth."""
    for mbit in spec.factors.mbit:
        with shaped_network(mbit * 1_000_000):
            pass

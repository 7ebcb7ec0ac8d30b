"""The checks before the first run: the host has memory for the guests, runs them, and can shape links."""

from __future__ import annotations

import re
from pathlib import Path

from fakedirty.errors import LabError, UsageError
from fakedirty.lab.accelerator import choose_accelerator
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.network import shaped_network

from .spec import CampaignFile, Spec
from .treatments import ARMS

RESERVE_MIB = 512  # for both QEMU themselves, the observer and the host
KIB = 1 << 10


def needed_mib(spec: Spec) -> tuple[int, str]:
    """The memory that the largest run of a campaign takes.

    Returns:
        MiB, and the parts of it in words.
    """
    memory = max(spec.factors.memory_mib)
    cache = max(ARMS[name].cache_mib(memory) for name in spec.factors.treatment)
    parts = [(2 * memory, f"two guests of {memory} MiB"), (RESERVE_MIB, f"a reserve of {RESERVE_MIB} MiB")]
    if cache:
        parts.append((cache, f"a cache of {cache} MiB"))
    if spec.audit:
        parts.append((memory, "a copy of every page for the audit"))
    return sum(mib for mib, _ in parts), ", ".join(why for _, why in parts)


def check_memory(spec: Spec, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Check that the host has free what the largest run takes.

    Raises:
        UsageError: it has less.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    if found is None:
        raise LabError(f"{meminfo} has no MemAvailable: this kernel does not report free memory")
    available = int(found[1]) // KIB
    needed, why = needed_mib(spec)
    if needed > available:
        raise UsageError(f"factors.memory_mib: {needed} MiB are needed ({why}), and this host has {available} MiB free")


def check_accelerator(file: CampaignFile, qemu: Path) -> None:
    """If the file says KVM, check that it runs a guest of each kind that the campaign needs.

    Raises:
        UsageError: it does not.
    """
    if file.spec.accelerator == "tcg":
        return
    for name in sorted({workload.guest for workload in file.workloads.values()}):
        found = choose_accelerator(qemu, build_guest(name))
        if found.name != file.spec.accelerator:
            raise UsageError(f"accelerator: this host does not run the guests by KVM: {found.reason}; take 'tcg'")


def check_links(spec: Spec) -> None:
    """Check that a link of each bandwidth can be made.

    Raises:
        LabError: this kernel, or this user, cannot.
    """
    for mbit in spec.factors.mbit:
        with shaped_network(mbit * 1_000_000):
            pass

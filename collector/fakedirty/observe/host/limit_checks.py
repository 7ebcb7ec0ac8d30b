"""Limits of this process that are too low for observing: file descriptors and locked memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fakedirty.linux.descriptor_limit import DESCRIPTORS_OF_A_QEMU, RESERVE

from .headers import COMPILER_DESCRIPTORS
from .machine import HostCheck, Machine

# file descriptors that attaching takes
DESCRIPTORS_ONCE = 32 + RESERVE + COMPILER_DESCRIPTORS  # of the process, with metrics and files
DESCRIPTORS_OF_A_BUILD = 48  # programs, probes, maps
_QEMUS_OF_A_HOST = 200  # of one build; a lower number is reported

_MEMLOCK_UNTIL = (5, 11)  # Linux; from then on cgroups are charged for BPF memory
_LEAST_MEMLOCK = 64 << 20  # bytes


def limits(machine: Machine) -> Iterator[HostCheck]:
    """The limits of this process in ``/proc/self/limits``."""
    table = machine.text("proc/self/limits") or ""
    pairs = dict(re.findall(r"^(Max [a-z ]+?)\s{2,}(\w+\s+\w+)", table, re.MULTILINE))
    if pair := pairs.get("Max open files"):
        yield _descriptors(*pair.split())
    if (pair := pairs.get("Max locked memory")) and machine.release < _MEMLOCK_UNTIL:
        yield _locked_memory(*pair.split())


def _descriptors(soft: str, hard: str) -> HostCheck:
    room = _number(hard) - DESCRIPTORS_ONCE - DESCRIPTORS_OF_A_BUILD
    qemus = max(0, room // DESCRIPTORS_OF_A_QEMU)
    found = f"{soft}, and at most {hard}"
    if qemus >= _QEMUS_OF_A_HOST:
        return HostCheck("file descriptors", found)
    return HostCheck(
        "file descriptors",
        found,
        f"there is room for about {qemus} QEMUs of one build ({DESCRIPTORS_OF_A_BUILD} descriptors for each build, up "
        f"to {DESCRIPTORS_OF_A_QEMU} for each QEMU); others are not observed (EMFILE)",
        "raise the hard limit: LimitNOFILE= of the service, ulimit -Hn, or limits.conf",
        blocks=room < 0,
    )


def _locked_memory(soft: str, hard: str) -> HostCheck:
    short = _number(soft) < _LEAST_MEMLOCK
    return HostCheck(
        "locked memory",
        f"{soft}, and at most {hard}",
        "this kernel charges BPF maps to it, and refuses them (EPERM)" if short else "",
        "raise it: LimitMEMLOCK=infinity of the service, or ulimit -l unlimited" if short else "",
    )


def _number(limit: str) -> int:
    return 1 << 62 if limit == "unlimited" else int(limit)

"""Everything on this host that may stand in the way of observing, beside features of the kernel.

Each check reads a file or two and yields rows: what was found and, if something fails because of that, what fails and
what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fakedirty.linux.seccomp import refused_calls

from . import container_checks, limit_checks, policy_checks
from .machine import HostCheck, Machine

_CHECKS: tuple[Callable[[Machine], Iterator[HostCheck]], ...] = (
    policy_checks.lockdown,
    policy_checks.perf_event_paranoid,
    policy_checks.kptr_restrict,
    policy_checks.unprivileged_bpf,
    policy_checks.seccomp,
    limit_checks.limits,
    policy_checks.ptrace_scope,
    container_checks.namespaces,
    container_checks.hidepid,
    container_checks.event_sources,
)


def check(
    root: Path = Path("/"), release: str | None = None, refused: Callable[[], Mapping[str, str]] | None = None
) -> list[HostCheck]:
    """Check a machine.

    Args:
        root: where ``proc`` and ``sys`` are; tests give the files of other machines.
        release: the kernel's release, as ``uname -r`` prints it; None: that of the running kernel.
        refused: returns the system calls that this process may not make, each with the name of the error.

    Returns:
        The rows of all checks.
    """
    numbers = re.findall(r"\d+", release or os.uname().release)[:2]
    machine = Machine(root, tuple(map(int, numbers)), (refused or refused_calls)())
    return [row for each in _CHECKS for row in each(machine)]


def blocking(rows: Sequence[HostCheck]) -> str:
    """Why no level but qmp is possible, in one sentence; empty if another one is."""
    return "; ".join(f"{row.name}: {row.found}: {row.fails}: {row.remedy}" for row in rows if row.blocks)

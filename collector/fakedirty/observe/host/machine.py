"""A machine as its files show it, and what a check of it finds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# numbers in linux/capability.h
CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 19, 21, 38, 39


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One thing that was checked on a machine.

    Attributes:
        name: the file, limit or policy.
        found: its value.
        fails: what fails because of that; empty: nothing.
        remedy: what to do about it.
        blocks: no level but qmp is possible.
    """

    name: str
    found: str
    fails: str = ""
    remedy: str = ""
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """The files of a machine below `root`, and what its kernel allows this process.

    Attributes:
        root: where ``proc`` and ``sys`` are.
        release: the first two numbers of the kernel's release.
        refused: system calls that this process may not make, each with the name of the error.
    """

    root: Path
    release: tuple[int, ...]
    refused: Mapping[str, str]

    def text(self, path: str) -> str | None:
        """The stripped content of a file; None if it is not there or cannot be read."""
        try:
            return (self.root / path).read_text().strip()
        except OSError:
            return None

    def link(self, path: str) -> str | None:
        """The target of a symbolic link; None if it cannot be read."""
        try:
            return os.readlink(self.root / path)
        except OSError:
            return None

    def status(self, field: str) -> str:
        """A field of ``/proc/self/status``; empty if it is not there."""
        found = re.search(rf"^{field}:\s*(.*)$", self.text("proc/self/status") or "", re.MULTILINE)
        return found[1] if found else ""

    def may(self, capability: int) -> bool:
        """Whether this process has a capability, by itself or as part of CAP_SYS_ADMIN."""
        effective = int(self.status("CapEff") or "0", 16)
        included = capability in (CAP_BPF, CAP_PERFMON) and effective >> CAP_SYS_ADMIN & 1
        return bool(effective >> capability & 1 or included)

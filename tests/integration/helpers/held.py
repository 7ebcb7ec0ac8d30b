"""What a QEMU holds: its descriptors by what they lead to, its threads by name, and its writable memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """At one moment. The `memory_bytes` are private and writable, whether anything is in them or not."""

    descriptors: Counter[str]
    threads: Counter[str]
    memory_bytes: int

    def beside(self, other: Held) -> dict[str, int]:
        """The descriptors and threads of which there are more here than there, or fewer."""
        ours, theirs = (each.descriptors + each.threads for each in (self, other))
        return {name: ours[name] - theirs[name] for name in ours | theirs if ours[name] != theirs[name]}


def held(pid: int) -> Held:
    """What a process holds now."""
    process = Path(f"/proc/{pid}")
    found = re.search(r"^VmData:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
    assert found
    return Held(
        Counter(_targets(process / "fd")),
        Counter(f"thread {name}" for name in _names(process / "task")),
        int(found[1]) << 10,
    )


def _targets(directory: Path) -> list[str]:
    """Where each descriptor leads to, without the number of a socket or pipe."""
    found = []
    for path in directory.iterdir():
        try:
            found.append(re.sub(r"\[\d+\]$", "", os.readlink(path)))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def _names(directory: Path) -> list[str]:
    found = []
    for path in directory.iterdir():
        try:
            found.append((path / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    return found

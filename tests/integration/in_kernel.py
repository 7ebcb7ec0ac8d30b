"""What this process holds in the kernel."""

from __future__ import annotations

import os
from pathlib import Path


def held(*kinds: str) -> list[str]:
    """Its descriptors of some kinds, by what is in their names: ``bpf``, ``perf``, ``pidfd``."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:  # the one that lists them
            continue
    return sorted(link for link in links if any(kind in link for kind in kinds))

"""What this process holds in the kernel."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from pathlib import Path

_BPF, _MAP_BY_ID = 321, 14  # x86-64's system call, BPF_MAP_GET_FD_BY_ID
_ATTRIBUTE_BYTES = 128


def held(*kinds: str) -> list[str]:
    """Its descriptors of some kinds, by what is in their names: ``bpf``, ``perf``, ``pidfd``."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:  # the one that lists them
            continue
    return sorted(link for link in links if any(kind in link for kind in kinds))


def maps() -> set[int]:
    """The BPF maps of its descriptors, by the kernel's own numbers."""
    found = set()
    for entry in Path("/proc/self/fdinfo").iterdir():
        try:
            found |= {int(number) for number in re.findall(r"^map_id:\s*(\d+)", entry.read_text(), re.MULTILINE)}
        except FileNotFoundError:
            continue
    return found


def exists(number: int) -> bool:
    """Whether the kernel has a map, whoever holds it."""
    attribute = struct.pack("<I", number).ljust(_ATTRIBUTE_BYTES, b"\0")
    descriptor: int = ctypes.CDLL(None).syscall(_BPF, _MAP_BY_ID, attribute, len(attribute))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0

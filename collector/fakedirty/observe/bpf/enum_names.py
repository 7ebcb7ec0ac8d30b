"""The names of an enumeration of one running QEMU: their numbers differ between versions.

QEMU exports such a table of names as ``X_lookup``, whose first member points to the array of them.
"""

from __future__ import annotations

import re

from fakedirty.errors import TargetError
from fakedirty.observe.host.elf import Binary

from .process_memory import ProcessMemory

_NAME = re.compile(r"[a-z][a-z-]*$")
_MOST = 64


def names(binary: Binary, memory: ProcessMemory, table: str, must_have: str) -> tuple[str, ...]:
    """The names in order of their numbers; TargetError where they cannot be read, or lack `must_have`."""
    lookup = binary.symbol(table)
    array = memory.pointer(lookup.address + memory.bias) if lookup else None
    found: list[str] = []
    while array is not None and len(found) < _MOST:
        address = memory.pointer(array + 8 * len(found))
        name = memory.text(address) if address else None
        if name is None or not _NAME.match(name):
            break
        found.append(name)
    if must_have not in found:
        raise TargetError(f"{binary.path}: the names of {table} cannot be read")
    return tuple(found)

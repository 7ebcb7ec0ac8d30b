"""The names of an enumeration, read from a running QEMU: the numbers differ between versions.

QEMU exports the table of an enumeration X as ``X_lookup``. Its first member points to the array of the names.
"""

from __future__ import annotations

import re

from fakedirty.errors import TargetError
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.observe.host.elf import Binary

_NAME = re.compile(r"[a-z][a-z-]*$")
_MOST = 64


def names(binary: Binary, memory: ProcessMemory, table: str, must_have: str) -> tuple[str, ...]:
    """The names of an enumeration in the order of their numbers.

    Args:
        binary: the executable.
        memory: the memory of a process that runs it.
        table: the symbol ``X_lookup``.
        must_have: a name that the enumeration has.

    Raises:
        TargetError: the names cannot be read, or `must_have` is not among them.
    """
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

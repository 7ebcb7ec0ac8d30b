"""Where the channels of multifd write their packets: calls of one function, from the code of multifd.

The thread of a channel is a static function, which no symbol names in a stripped executable. It calls
qio_channel_writev_full_all, which has a name, with the packet in the second and third argument. Functions of
multifd that have names lie around it, as a compiler leaves the functions of one file together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

from fakedirty.observe.host.elf import Binary

from .attach_point import AttachPoint, at

WRITES = "qio_channel_writev_full_all"  # its second argument is the buffers, the third how many there are
QUEUES = "multifd_queue_page"
_OF_MULTIFD = "multifd_"

_CALL = b"\xe8"
_DISTANCE = struct.Struct("<i")
_CALL_BYTES = len(_CALL) + _DISTANCE.size


def calls(binary: Binary) -> list[AttachPoint]:
    """The calls by which a channel writes a packet; none where the executable does not tell."""
    writes = binary.symbol(WRITES)
    if writes is None or binary.symbol(QUEUES) is None:
        return []
    return [
        at(binary, WRITES, address)
        for start, end in _stretches(binary)
        for address in _calls_of(writes.address, binary.code_at(start, end - start), start)
    ]


def _stretches(binary: Binary) -> list[tuple[int, int]]:
    """Code from one named function to the next, of which one is multifd's; where they follow each other, as one."""
    functions = binary.functions()
    found: list[tuple[int, int]] = []
    for (name, start), (next_name, end) in pairwise(functions):
        if not any(each.startswith(_OF_MULTIFD) for each in (name, next_name)):
            continue
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _calls_of(target: int, code: bytes, address: int) -> Iterator[int]:
    """Where in the code, which lies at an address, the target is called."""
    position = code.find(_CALL)
    while 0 <= position <= len(code) - _CALL_BYTES:
        (distance,) = _DISTANCE.unpack_from(code, position + len(_CALL))
        if address + position + _CALL_BYTES + distance == target:
            yield address + position
        position = code.find(_CALL, position + 1)

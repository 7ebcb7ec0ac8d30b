"""Where the channels of multifd write their packets: calls of qio_channel_writev_full_all in the code of multifd.

The thread of a channel runs a static function, which has no symbol in a stripped executable. It passes the packet to
qio_channel_writev_full_all, which has a symbol, in the second and third argument. The static function lies among the
functions of multifd that have symbols, because a compiler keeps the functions of one file together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

from fakedirty.observe.host.elf import Binary

from .attach_point import AttachPoint, at

WRITES = "qio_channel_writev_full_all"  # the second argument is the buffers, the third their number
QUEUES = "multifd_queue_page"
_OF_MULTIFD = "multifd_"

_CALL = b"\xe8"
_DISTANCE = struct.Struct("<i")
_CALL_BYTES = len(_CALL) + _DISTANCE.size


def calls(binary: Binary) -> list[AttachPoint]:
    """The calls by which channels write packets; none if the executable lacks a symbol that is needed."""
    writes = binary.symbol(WRITES)
    if writes is None or binary.symbol(QUEUES) is None:
        return []
    return [
        at(binary, WRITES, address)
        for start, end in _stretches(binary)
        for address in _calls_of(writes.address, binary.code_at(start, end - start), start)
    ]


def _stretches(binary: Binary) -> list[tuple[int, int]]:
    """Stretches of code, each as (start, end) in linked addresses, that may be multifd's.

    The code between two named functions is taken if one of them is multifd's. Adjacent stretches are joined.
    """
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
    """The addresses of all calls of `target` in `code`, which lies at `address`."""
    position = code.find(_CALL)
    while 0 <= position <= len(code) - _CALL_BYTES:
        (distance,) = _DISTANCE.unpack_from(code, position + len(_CALL))
        if address + position + _CALL_BYTES + distance == target:
            yield address + position
        position = code.find(_CALL, position + 1)

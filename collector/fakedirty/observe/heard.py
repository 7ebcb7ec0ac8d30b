"""What bcc hands over, as records of a trace."""

from __future__ import annotations

import struct

from fakedirty.model.trace import Channel, TraceRecord

from . import wire
from .bpf import Bpf, now_ns

_OPENING = struct.Struct("<QI")  # how every event opens: time and kind
_CHANNELS = {wire.EVENT_BATCH: Channel.PAGES, wire.EVENT_RUNSTATE: Channel.RUNSTATE}


def heard(raw: memoryview) -> TraceRecord:
    """An event of a ring buffer, by the time and the kind that are in it."""
    time_ns, kind = _OPENING.unpack_from(raw)
    return TraceRecord(time_ns, _CHANNELS.get(kind, Channel.EVENT), raw)


class Losses:
    """The kernel's counters of lost events, heard when they have grown."""

    def __init__(self) -> None:
        self._known = bytes(wire.LOST_COUNTERS.size)

    def since(self, bpf: Bpf) -> list[TraceRecord]:
        """The counters, if any is not what it was."""
        now = wire.LOST_COUNTERS.pack(*bpf.counters("lost"))
        if now == self._known:
            return []
        self._known = now
        return [TraceRecord(now_ns(), Channel.LOST, now)]

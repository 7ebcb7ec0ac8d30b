"""What bcc hands over, as records of a trace."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from operator import attrgetter

from fakedirty.model.trace import Channel, TraceRecord

from .bpf import Bpf, now_ns
from .wire import LOST_COUNTERS

_TIME = struct.Struct("<Q")  # how every event opens


def heard(channel: Channel, raw: bytes) -> TraceRecord:
    """An event of a ring buffer, by the time that is in it."""
    return TraceRecord(_TIME.unpack_from(raw)[0], channel, raw)


def by_time(taken: Mapping[str, Sequence[bytes]]) -> list[TraceRecord]:
    """All that the ring buffers held; of one time, pages come before the round that they belong to."""
    batches = [heard(Channel.PAGES, raw) for raw in taken.get("pages", ())]
    events = [heard(Channel.EVENT, raw) for raw in taken["events"]]
    return sorted([*batches, *events], key=attrgetter("time_ns"))


class Losses:
    """The kernel's counters of lost events, heard when they have grown."""

    def __init__(self) -> None:
        self._known = bytes(LOST_COUNTERS.size)

    def since(self, bpf: Bpf) -> list[TraceRecord]:
        """The counters, if any is not what it was."""
        now = LOST_COUNTERS.pack(*bpf.counters("lost"))
        if now == self._known:
            return []
        self._known = now
        return [TraceRecord(now_ns(), Channel.LOST, now)]

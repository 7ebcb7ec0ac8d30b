"""What reaches the collector from outside, before anything is made of it: what a recorded trace holds.

Whatever an observation comes to follows from its subject and its records alone, so a trace replays to the same
rounds without QEMU, kernel or root.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .enums import Level, StringEnum

ASKED = "asked-ns"  # CLOCK_MONOTONIC; older traces do not have it


class Channel(StringEnum):
    """Where a record comes from, and with that what its data are."""

    EVENT = 0  # an event of the kernel: a struct of probes/events.h
    PAGES = 1  # a batch of page records: struct batch_event
    LOST = 2  # the kernel's counters of lost events, 8 bytes each, little-endian
    ANSWERS = 3  # what QMP answered at one look: a JSON object, by command, and when it was asked under ASKED
    REPORT = 4  # what query-migrate said when it was asked for the end of a migration: a JSON object
    TICK = 5  # nothing but the time
    GONE = 6  # the QEMU has ended
    RUNSTATE = 7  # a guest stops or runs: struct runstate_event
    PEER = 8  # whose run states follow, and what their numbers mean: a JSON object
    LIMITS = 9  # what query-migrate-parameters said while a migration ran: a JSON object


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One thing that was heard; `time_ns` is of CLOCK_MONOTONIC."""

    time_ns: int
    channel: Channel
    data: bytes | memoryview = b""

    def object(self) -> Any:
        """The data of a channel that has a JSON object."""
        return json.loads(bytes(self.data))


@dataclass(frozen=True, slots=True)
class Subject:
    """The QEMU that is observed. `identity` tells it from every other process of its host, ended ones included.

    `facts` are what a reader has to know of this QEMU to understand its events, as plain data. `uuid` is that of its
    guest, empty where it was started without one. `vm` is a label, and may be that of others too.
    """

    vm: str
    level: Level
    identity: str
    facts: Mapping[str, object] = field(default_factory=dict)
    uuid: str = ""

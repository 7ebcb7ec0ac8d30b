"""The records of a trace: the input of the collector, before it is decoded.

The result of an observation depends on its subject and its records alone. So a recorded trace replays to the same
rounds without QEMU, kernel or root.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .enums import Level, StringEnum

REQUEST_NS = "asked-ns"  # key of the CLOCK_MONOTONIC time of a request; older traces do not have it


class Channel(StringEnum):
    """The source of a record, which decides on the form of its data."""

    EVENT = 0  # an event of the kernel: a struct of probes/events.h
    PAGES = 1  # a batch of page records: struct batch_event
    LOST = 2  # the kernel's counters of lost events, 8 bytes each, little-endian
    ANSWERS = 3  # answers of QMP to one poll: a JSON object by command, and the time of the request under REQUEST_NS
    REPORT = 4  # the answer of query-migrate after the end of a migration: a JSON object
    TICK = 5  # the time, and nothing else
    GONE = 6  # the QEMU has ended
    RUNSTATE = 7  # a guest stops or runs: struct runstate_event
    PEER = 8  # the QEMU whose run states follow, and the meaning of their numbers: a JSON object
    LIMITS = 9  # the answer of query-migrate-parameters while a migration runs: a JSON object
    SWITCHOVER = 10  # a device is saved or loaded, or a checkpoint passed: struct switchover_event
    ARRIVAL = 11  # the answer of query-migrate of a destination, after its guest has arrived: a JSON object


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One record; `time_ns` is CLOCK_MONOTONIC, `data` has the form of the channel."""

    time_ns: int
    channel: Channel
    data: bytes | memoryview = b""

    def object(self) -> Any:
        """The data, of a channel whose data are a JSON object."""
        return json.loads(bytes(self.data))


@dataclass(frozen=True, slots=True)
class Subject:
    """The QEMU that is observed.

    Attributes:
        vm: the name of its VM: a label, which other VMs may have too.
        level: the level at which it is observed.
        identity: distinguishes the process from all others of its host, including those that have ended.
        facts: plain data about this QEMU that the decoders of its events need.
        uuid: UUID of its guest; empty where QEMU was started without one.
    """

    vm: str
    level: Level
    identity: str
    facts: Mapping[str, object] = field(default_factory=dict)
    uuid: str = ""

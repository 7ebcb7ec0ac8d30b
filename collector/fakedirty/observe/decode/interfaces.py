"""The two halves of an observation: a trace delivers records, and a reader makes events of the model of them.

Traces do everything that touches the kernel, QEMU and files. Readers are pure. So the same readers decode a recorded
trace and a live one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fakedirty.model.events import Event
from fakedirty.model.sink import PageBatch
from fakedirty.model.trace import Subject, TraceRecord


@dataclass(frozen=True, slots=True)
class EndUnseen:
    """No more pages come, and no state was seen that ends the migration. QEMU's report must decide."""


@dataclass(frozen=True, slots=True)
class EndUnknown:
    """The migration is over, and QEMU no longer reports how it ended: it reports another migration by now."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class SetUp:
    """Another migration, or a snapshot, was set up. QEMU's reports from then on may be about that one."""

    time_ns: int


Observed = Event | PageBatch | EndUnseen | EndUnknown | SetUp


class Reader(Protocol):
    """Makes events of the model of the records of a trace. Pure."""

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """The events of one record. Each migration begins with MigrationStarted, and ends with a StateChanged."""


class Trace(Protocol):
    """The records of one QEMU, live or recorded."""

    def open(self) -> Subject:
        """Begin. Everything that happens from now on is recorded. On an error nothing is left attached."""

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """The records since the last call, in order. If there are none, waits up to `timeout` seconds."""

    def listen(self, ready: Callable[[], None]) -> bool:
        """Have `ready` called, from any thread, whenever :meth:`poll` has records. False: it must be polled."""

    def report(self, state: str) -> TraceRecord:
        """QEMU's report of a migration, which should have the state `state`; an empty object if QEMU has none."""

    def look_up_limits(self) -> None:
        """Begin to read from QEMU how long a guest may be stopped. Does not wait: a record has the answer later."""

    def look_up_arrival(self) -> None:
        """Begin to read QEMU's report on a guest that has arrived. Does not wait: a record has the answer later."""

    def close(self) -> None:
        """Detach from the kernel and from QEMU. May be called twice."""


class Tracer(Protocol):
    """The part of a live trace that differs by level."""

    @property
    def probes(self) -> int:
        """The number of probes that are attached in the kernel."""

    def attach(self) -> Mapping[str, object]:
        """As :meth:`Trace.open`. Returns the facts for :attr:`Subject.facts`."""

    def poll(self, timeout: float) -> list[TraceRecord]:
        """As :meth:`Trace.poll`."""

    def listen(self, ready: Callable[[], None]) -> bool:
        """As :meth:`Trace.listen`."""

    def report(self, state: str) -> Mapping[str, object]:
        """As :meth:`Trace.report`, but returns the object itself."""

    def close(self) -> None:
        """As :meth:`Trace.close`."""

"""The two halves of an observation: a trace is heard, and a reader makes events of the model of it.

Traces do all that touches the world (kernel, QEMU, files), readers are pure. So a trace that was recorded goes
through the same readers as a live one.
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
    """No more pages come, and no state said why: a report of QEMU has to."""


@dataclass(frozen=True, slots=True)
class EndUnknown:
    """The migration is over, and QEMU no longer says how it ended: something else came after it."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class SetUp:
    """Another migration, or a snapshot, was set up: what QEMU says from then on may be of that."""

    time_ns: int


Observed = Event | PageBatch | EndUnseen | EndUnknown | SetUp


class Reader(Protocol):
    """Makes events of the model of a trace. Pure."""

    def take(self, record: TraceRecord) -> Iterator[Observed]:
        """What one record stands for; MigrationStarted opens each migration, a StateChanged to an end closes it."""


class Trace(Protocol):
    """What is heard of one QEMU, now or once."""

    def open(self) -> Subject:
        """Begin; everything that happens from the return on is heard. On an error nothing is left behind."""

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """What was heard since the last call, in order; waits up to `timeout` seconds when nothing was."""

    def listen(self, ready: Callable[[], None]) -> bool:
        """Have `ready` called, by any thread, whenever :meth:`poll` has something; False where it must be polled."""

    def report(self, state: str) -> TraceRecord:
        """What QEMU says of a migration that should be in `state` by now; an empty object when it says nothing."""

    def look_up_limits(self) -> None:
        """Ask QEMU how long a guest may be stopped. Does not wait: what it says is heard like everything else."""

    def close(self) -> None:
        """Leave nothing behind in the kernel or in QEMU; may be called twice."""


class Tracer(Protocol):
    """What a level does to hear: the part of a live trace that differs by level."""

    @property
    def probes(self) -> int:
        """How many are attached in the kernel."""

    def attach(self) -> Mapping[str, object]:
        """As :meth:`Trace.open`; the facts for :attr:`Subject.facts`."""

    def poll(self, timeout: float) -> list[TraceRecord]:
        """As :meth:`Trace.poll`."""

    def listen(self, ready: Callable[[], None]) -> bool:
        """As :meth:`Trace.listen`."""

    def report(self, state: str) -> Mapping[str, object]:
        """As :meth:`Trace.report`, the object itself."""

    def close(self) -> None:
        """As :meth:`Trace.close`."""

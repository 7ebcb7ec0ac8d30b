"""Where events come from: one source per level, all alike to the observer."""

from __future__ import annotations

from typing import Protocol

from fakedirty.model.events import Event
from fakedirty.model.sink import PageBatch

Observed = Event | PageBatch


class Source(Protocol):
    """A way to observe one QEMU. MigrationStarted opens each migration, a StateChanged to an end closes it."""

    def attach(self) -> None:
        """Begin; everything that happens from the return on is seen."""

    def poll(self, timeout: float) -> list[Observed]:
        """What happened since the last call, in order; waits up to `timeout` seconds when nothing did."""

    def close(self) -> None:
        """Leave nothing behind in the kernel or in QEMU; may be called twice."""

"""The numbers by which the programs of a build, and every event of theirs, know the processes that are observed."""

from __future__ import annotations

from collections.abc import Container

from fakedirty.errors import TargetError
from fakedirty.observe.host.target import Target


class ProcessSlots:
    """As many as `count`, of which the first is nobody's. Not for several threads at once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._last = 0

    def free(self, used: Container[int], target: Target) -> int:
        """The next one that is not used: the last process to have had it has nothing in the ring buffers any more.

        Raises:
            TargetError: there is none.
        """
        for _ in range(self._count):
            self._last = (self._last + 1) % self._count
            if self._last and self._last not in used:
                return self._last
        raise TargetError(
            f"{target.program} (pid {target.pid}) cannot be observed: {self._count - 1} processes of its build are, "
            "and there is room for no more"
        )

"""Slots: the numbers that stand for observed processes in the programs of a build and in their events."""

from __future__ import annotations

from collections.abc import Container

from fakedirty.errors import TargetError
from fakedirty.observe.host.target import Target


class ProcessSlots:
    """The slots 1 to `count` - 1. Only one thread may use this at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._last = 0

    def free(self, used: Container[int], target: Target) -> int:
        """A slot for `target` that is not among the `used` ones.

        Slots are given out in turn, so that no event of the process that had one before is still in the ring buffers.

        Raises:
            TargetError: all slots are used.
        """
        for _ in range(self._count):
            self._last = (self._last + 1) % self._count
            if self._last and self._last not in used:
                return self._last
        raise TargetError(
            f"{target.program} (pid {target.pid}) cannot be observed: there is room for {self._count - 1} processes of "
            "its build, and as many are observed"
        )

"""The level `qmp`: rounds by asking QEMU, without root.

A patched QEMU keeps the history of its rounds, so that polling misses nothing that the history holds; of a
stock QEMU only sums are known, and no fake pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError, TargetError
from fakedirty.qmp.client import Qmp

from .qmp_history import HistoryReader
from .qmp_polled import PollReader
from .source import Observed

POLL_SECONDS = 0.1


class QmpSource:
    """Polls one QEMU, and connects anew when the connection is lost."""

    def __init__(self, paths: Sequence[Path], clock: Callable[[], int] = time.monotonic_ns) -> None:
        if not paths:
            raise TargetError("level qmp needs a QMP socket: name one with --qmp")
        self._paths = paths
        self._clock = clock
        self._qmp: Qmp | None = None
        self._patched = False
        self._history = HistoryReader()
        self._polled = PollReader()
        self._seen: list[Observed] = []
        self.last_info: Mapping[str, Any] = {}

    def attach(self) -> None:
        """Connect to the first socket that answers, and look: what begins from here on is seen whole."""
        self._connect()
        self._seen.extend(self._look())

    def poll(self, timeout: float) -> list[Observed]:
        """One look. A lost connection is made anew at the next one; what passed meanwhile shows as missed."""
        time.sleep(min(timeout, POLL_SECONDS))
        try:
            if self._qmp is None:
                self._connect()
            self._seen.extend(self._look())
        except QmpError:
            self.close()
        seen, self._seen = self._seen, []
        return seen

    def _connect(self) -> None:
        self._qmp = _connect(self._paths)
        commands = {command["name"] for command in self._qmp.execute("query-commands")}
        self._patched = "query-fake-dirty-rounds" in commands

    def _look(self) -> Iterator[Observed]:
        assert self._qmp is not None
        self._qmp.drain_events()
        # the state first: rounds that ended before it are then in the history
        info = self.last_info = self._qmp.execute("query-migrate")
        if not self._patched:
            return self._polled.take(self._clock(), info)
        history = self._qmp.execute("query-fake-dirty-rounds")
        return self._history.take(self._clock(), info, history)

    def close(self) -> None:
        """Give the socket back."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None


def _connect(paths: Sequence[Path]) -> Qmp:
    problems = []
    for path in paths:
        try:
            return Qmp.connect(path)
        except QmpError as error:
            problems.append(str(error))
    raise QmpError("; ".join(problems))

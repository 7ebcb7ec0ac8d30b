"""The level `qmp`: rounds by asking QEMU, without root.

A patched QEMU keeps the history of its rounds, so that polling misses nothing that the history holds; of a
stock QEMU only sums are known, and no fake pages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fakedirty.errors import QmpError, TargetError
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.qmp.answers import understanding
from fakedirty.qmp.monitor import Address, Monitor, connect_first

POLL_SECONDS = 0.1


class QmpPoller:
    """Polls one QEMU, and connects anew when the connection is lost."""

    def __init__(self, monitors: Sequence[Address], clock: Callable[[], int] = time.monotonic_ns) -> None:
        if not monitors:
            raise TargetError("level qmp needs a QMP socket: name one with --qmp")
        self._monitors = monitors
        self._clock = clock
        self._qmp: Monitor | None = None
        self._patched = False
        self._heard: list[TraceRecord] = []
        self._info: Mapping[str, Any] = {}

    @property
    def probes(self) -> int:
        """None."""
        return 0

    @property
    def qmp(self) -> Monitor | None:
        """The connection, for whoever has something to ask meanwhile."""
        return self._qmp

    def attach(self) -> Mapping[str, object]:
        """Connect to the first monitor that answers, and look: what begins from here on is seen whole."""
        self._connect()
        self._heard.append(self._look())
        return {}

    def poll(self, timeout: float) -> list[TraceRecord]:
        """One look. A lost connection is made anew at the next one; what passed meanwhile shows as missed."""
        time.sleep(min(timeout, POLL_SECONDS))
        try:
            if self._qmp is None:
                self._connect()
            self._heard.append(self._look())
        except QmpError:
            self.close()
        heard, self._heard = self._heard, []
        return heard

    def listen(self, ready: Callable[[], None]) -> bool:
        """It has to be polled."""
        return False

    def report(self, state: str) -> Mapping[str, object]:
        """What the last look has seen: the socket is held here, and serves one client."""
        return self._info

    def _connect(self) -> None:
        self._qmp = connect_first(self._monitors)
        with understanding(self._qmp.path):
            commands = {command["name"] for command in self._qmp.execute("query-commands")}
        if "query-migrate" not in commands:
            raise QmpError(f"{self._qmp.path} has no command query-migrate: it is no QEMU's")
        self._patched = "query-fake-dirty-rounds" in commands

    def _look(self) -> TraceRecord:
        assert self._qmp is not None
        # the state first: rounds that ended before it are then in the history
        answers = {"query-migrate": self._qmp.execute("query-migrate")}
        self._info = answers["query-migrate"]
        if self._patched:
            answers["query-fake-dirty-rounds"] = self._qmp.execute("query-fake-dirty-rounds")
        return TraceRecord(self._clock(), Channel.ANSWERS, json.dumps(answers).encode())

    def close(self) -> None:
        """Give the socket back."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None

"""Where what is seen goes: one screen and one exporter for all QEMUs, a recorder for each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from fakedirty.export.exporter import Exporter
from fakedirty.model.sink import OneAtATime, Sink
from fakedirty.observe.target import Target
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.recorder import Recorder, read_clock
from fakedirty.record.trace_file import Origin
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal


class Outlets:
    """Of one command: its screen is standard output, it records below `out`, and exports if it is to."""

    def __init__(self, run_id: str, *, out: Path | None, exports: bool, json: bool) -> None:
        self.run_id = run_id
        self.out = out
        self.screen = JsonLines(sys.stdout, run_id, read_clock) if json else LiveTable(Terminal())
        self.exporter = Exporter()
        self._screens: list[Sink] = [OneAtATime(self.screen), *([self.exporter] if exports else ())]
        self._recorders: dict[tuple[int, int], Recorder] = {}
        self._failed = False
        self._more: list[Callable[[Target], Sink]] = []

    def add(self, make: Callable[[Target], Sink]) -> None:
        """One more sink for each QEMU to come."""
        self._more.append(make)

    def sinks(self, target: Target, origin: Origin) -> list[Sink]:
        """Those for one QEMU; what is said has been recorded."""
        others = [*self._screens, *(make(target) for make in self._more)]
        if self.out is None:
            return others
        recorder = Recorder(self.out, self.run_id, origin.facts)
        self._recorders[target.identity] = recorder
        return [recorder, *others]

    def part(self, target: Target) -> None:
        """That QEMU is not observed any more: what was recorded of it is said."""
        if recorder := self._recorders.pop(target.identity, None):
            self._failed = self._failed or bool(recorder.failure)
            for directory in recorder.directories:
                print(f"recorded: {directory}", file=sys.stderr, flush=True)

    def busy(self) -> set[Path]:
        """Directories that are being written."""
        return {path for recorder in list(self._recorders.values()) for path in recorder.busy}

    @property
    def failed(self) -> bool:
        """Whether recording failed."""
        return self._failed or any(recorder.failure for recorder in list(self._recorders.values()))

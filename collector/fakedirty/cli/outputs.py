"""Where what is seen goes: one screen and one exporter for all QEMUs, a recorder for each."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from starlette.routing import Route

from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts
from fakedirty.export.retained_vms import VMS_WITH_ROUNDS
from fakedirty.export.routes import metrics_routes
from fakedirty.model.sink import SerializedSink, Sink
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.recorder import Recorder, read_clock
from fakedirty.record.trace_file import TraceOrigin, TraceWriter
from fakedirty.service.skip_policy import Policy
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal
from fakedirty.web.ui.live_migrations import LiveMigrations
from fakedirty.web.ui.routes import page_routes

from .printing import print_notice


class Outputs:
    """Of one command: its screen is standard output, it records below `out`, and exports if it is to."""

    def __init__(
        self, run_id: str, *, out: Path | None, exports: bool, json: bool, vms_with_rounds: int = VMS_WITH_ROUNDS
    ) -> None:
        self.run_id = run_id
        self.out = out
        self.screen = JsonLines(sys.stdout, run_id, read_clock) if json else LiveTable(Terminal())
        self.exporter = Exporter(attached=self._observed, skip_off=self._skip_off, vms_with_rounds=vms_with_rounds)
        self._live = LiveMigrations()
        self._attached: dict[tuple[int, int], AttachedCounts] = {}
        self._screens: list[Sink] = [SerializedSink(self.screen), *([self.exporter, self._live] if exports else ())]
        self._recorders: dict[tuple[int, int], Recorder] = {}
        self._failed = False
        self._tap: TraceWriter | None = None
        self._policy: Policy | None = None

    def routes(self) -> list[Route]:
        """The metrics and the page, for the web server."""
        return [*metrics_routes(self.exporter), *page_routes(self._live, self.out, self._observed)]

    def follow(self, policy: Policy) -> None:
        """Have it decide for each QEMU to come."""
        self._policy = policy

    def taps(self, tap: TraceWriter) -> None:
        """It records what is heard: where it fails, recording has failed."""
        self._tap = tap

    def also(self, sink: Sink) -> None:
        """Have it told of each QEMU to come; it may be told by several threads."""
        self._screens.append(sink)

    def _skip_off(self) -> int:
        return self._policy.decisions if self._policy else 0

    def sinks(self, target: Target, origin: TraceOrigin) -> list[Sink]:
        """Those for one QEMU; what is said has been recorded."""
        others = [*self._screens, *([self._policy.of(target)] if self._policy else ())]
        if self.out is None:
            return others
        recorder = Recorder(self.out, self.run_id, origin.facts)
        self._recorders[target.identity] = recorder
        return [recorder, *others]

    def join(self, trace: LiveTrace, qemu_version: str = "") -> None:
        """A QEMU is observed now."""
        target = trace.target
        identity = " ".join(map(str, target.identity))
        self._attached[target.identity] = AttachedCounts(
            target.vm, target.pid, str(trace.level), trace.probes, qemu_version, identity, target.uuid
        )
        self.exporter.look()

    def learned(self, target: Target, qemu_version: str) -> None:
        """The version of a QEMU that is observed, once its monitor has answered."""
        if (attached := self._attached.get(target.identity)) is not None:
            self._attached[target.identity] = dataclasses.replace(attached, qemu_version=qemu_version)

    def _observed(self) -> list[AttachedCounts]:
        return list(self._attached.values())

    def part(self, target: Target) -> None:
        """That QEMU is not observed any more: what was recorded of it is said."""
        self._attached.pop(target.identity, None)
        if recorder := self._recorders.pop(target.identity, None):
            self._failed = self._failed or bool(recorder.failure)
            for directory in recorder.directories:
                print_notice(f"recorded: {directory}")

    def busy(self) -> set[Path]:
        """Directories that are being written."""
        return {path for recorder in list(self._recorders.values()) for path in recorder.busy}

    @property
    def failed(self) -> bool:
        """Whether recording failed."""
        lost = self._tap is not None and self._tap.failure is not None
        return self._failed or lost or any(recorder.failure for recorder in list(self._recorders.values()))

"""The outputs of one command: one screen and one exporter for all QEMUs, a recorder for each."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path

from starlette.routing import Route

from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts
from fakedirty.export.retained_vms import VMS_WITH_ROUNDS
from fakedirty.export.routes import metrics_routes
from fakedirty.log_levels import NOTICE
from fakedirty.model.sink import SerializedSink, Sink
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.recorder import Recorder, read_clock
from fakedirty.record.trace_file import TraceOrigin, TraceWriter
from fakedirty.show.table import LiveTable
from fakedirty.show.terminal import Terminal
from fakedirty.web.ui.live_migrations import LiveMigrations
from fakedirty.web.ui.routes import page_routes

from .skip_policy import Policy

_log = logging.getLogger(__name__)


class Outputs:
    """Standard output as the screen, recordings below `out`, and metrics and the page if `exports`."""

    def __init__(
        self, run_id: str, *, out: Path | None, exports: bool, json: bool, vms_with_rounds: int = VMS_WITH_ROUNDS
    ) -> None:
        self.run_id = run_id
        self.out = out
        self.screen = JsonLines(sys.stdout, run_id, read_clock) if json else LiveTable(Terminal())
        self.exporter = Exporter(
            attached=self._attached_counts, skip_off=self._skip_off, vms_with_rounds=vms_with_rounds
        )
        self._live_migrations = LiveMigrations()
        self._attached: dict[tuple[int, int], AttachedCounts] = {}
        exported = (self.exporter, self._live_migrations) if exports else ()
        self._shared_sinks: list[Sink] = [SerializedSink(self.screen), *exported]
        self._recorders: dict[tuple[int, int], Recorder] = {}
        self._failed = False
        self._trace_writer: TraceWriter | None = None
        self._policy: Policy | None = None

    def routes(self) -> list[Route]:
        """The metrics and the page, for the web server."""
        page = page_routes(self._live_migrations, self.out, self._attached_counts)
        return [*metrics_routes(self.exporter), *page]

    def add_sink(self, sink: Sink) -> None:
        """Add a sink for every QEMU that is observed from now on; it must allow calls from several threads."""
        self._shared_sinks.append(sink)

    def set_policy(self, policy: Policy) -> None:
        """Let `policy` decide about skip for every QEMU that is observed from now on."""
        self._policy = policy

    def set_trace_writer(self, writer: TraceWriter) -> None:
        """Count a failure of `writer` as a failure to record."""
        self._trace_writer = writer

    def sinks_for(self, target: Target, origin: TraceOrigin) -> list[Sink]:
        """The sinks for one QEMU. The recorder comes first: what the others show has been recorded."""
        others = [*self._shared_sinks, *([self._policy.sink_for(target)] if self._policy else ())]
        if self.out is None:
            return others
        recorder = Recorder(self.out, self.run_id, origin.facts)
        self._recorders[target.identity] = recorder
        return [recorder, *others]

    def add_qemu(self, trace: LiveTrace, qemu_version: str = "") -> None:
        """Report a QEMU as observed, in metrics and on the page."""
        target = trace.target
        identity = " ".join(map(str, target.identity))
        self._attached[target.identity] = AttachedCounts(
            target.vm, target.pid, str(trace.level), trace.probes, qemu_version, identity, target.uuid
        )
        self.exporter.look()

    def set_qemu_version(self, target: Target, qemu_version: str) -> None:
        """Report the version of a QEMU that is observed, once its monitor has answered."""
        if (attached := self._attached.get(target.identity)) is not None:
            self._attached[target.identity] = dataclasses.replace(attached, qemu_version=qemu_version)

    def remove_qemu(self, target: Target) -> None:
        """Report a QEMU as no longer observed, and name what was recorded of it."""
        self._attached.pop(target.identity, None)
        if recorder := self._recorders.pop(target.identity, None):
            self._failed = self._failed or bool(recorder.failure)
            for directory in recorder.directories:
                _log.log(NOTICE, "recorded: %s", directory)

    def directories_in_use(self) -> set[Path]:
        """The directories of recordings that are being written."""
        return {path for recorder in list(self._recorders.values()) for path in recorder.busy}

    @property
    def failed(self) -> bool:
        """Whether anything could not be recorded."""
        lost = self._trace_writer is not None and self._trace_writer.failure is not None
        return self._failed or lost or any(recorder.failure for recorder in list(self._recorders.values()))

    def _attached_counts(self) -> list[AttachedCounts]:
        return list(self._attached.values())

    def _skip_off(self) -> int:
        return self._policy.decisions if self._policy else 0

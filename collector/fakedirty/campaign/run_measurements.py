"""What is measured in one run of a campaign, from all sides: the guest, QEMU, its threads and the link."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.lab.experiment import Experiment
from fakedirty.lab.measurements import GuestPair, Measurements
from fakedirty.lab.memory_compare import MemoryReport
from fakedirty.lab.migrate import MigrationResult
from fakedirty.model.migration import Migration
from fakedirty.qmp.mode import read_parameters

from .observed_downtime import observed_downtime_ms
from .thread_time import MIGRATION, VCPUS, ThreadTimes, thread_times
from .workloads.metered_load import MeteredLoad
from .workloads.throughput import DESTINATION, SOURCE, ThroughputReader, TimedSample, followed


@dataclass(slots=True)
class RunResult:
    """What a run gave, as far as it came: what it did not reach is None, 0 or empty.

    Attributes:
        started: start of the migration, CLOCK_MONOTONIC, seconds.
        ended: its end, or its time limit if that came first; the figures that follow are of that moment.
        outcome: how the migration ended.
        migration: the migration as it was observed.
        rounds_at_end: rounds that had ended.
        link_bytes: bytes that the source had put on the link, headers included.
        thread_seconds: seconds on a CPU, by what QEMU's threads do.
        host_bytes: largest resident memory of the source's QEMU.
        observed_downtime_ms: from the stop of the source to the arrival at the destination.
        memory: what the comparison of memory found.
        samples: the throughput of the guest, on both sides.
        toggles: the toggles that were set, and when.
        facts: what ``experiment.json`` has beside.
    """

    started: float = 0.0
    ended: float = 0.0
    outcome: MigrationResult | None = None
    migration: Migration | None = None
    rounds_at_end: int = 0
    link_bytes: int = 0
    thread_seconds: dict[str, float | None] = field(default_factory=dict)
    host_bytes: int | None = None
    observed_downtime_ms: float | None = None
    memory: MemoryReport | None = None
    samples: list[TimedSample] = field(default_factory=list)
    toggles: list[dict[str, object]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def measured_rounds(self) -> int:
        """How many rounds had ended at the end of the migration, or at the time limit."""
        if self.outcome is not None and self.outcome.converged and self.migration is not None:
            return len(self.migration.rounds)
        return self.rounds_at_end


class RunMeasurements(Measurements):
    """Fills the result of a run while its experiment is carried out."""

    def __init__(self, experiment: Experiment, load: MeteredLoad, result: RunResult, *, service_seconds: float) -> None:
        self._experiment = experiment
        self._load = load
        self._result = result
        self._service_seconds = service_seconds
        self._threads: ThreadTimes | None = None

    @contextmanager
    def beside_machines(self, pair: GuestPair) -> Iterator[None]:
        """Read the throughput of the guest on both sides."""
        files = {SOURCE: pair.source_directory, DESTINATION: pair.destination_directory}
        readers = [
            ThroughputReader(side, directory / self._load.service_file, self._load.meter())
            for side, directory in files.items()
        ]
        with followed(readers):
            yield
        self._result.samples = [sample for reader in readers for sample in reader.samples]

    def guest_at_work(self, pair: GuestPair) -> None:
        """Let the guest work for a while, to know its throughput without a migration."""
        time.sleep(self._service_seconds)

    @contextmanager
    def beside_migration(self, pair: GuestPair) -> Iterator[None]:
        """Count the CPU time of QEMU's threads. Events of the destination are kept from here on."""
        pair.destination.qmp.drain_events()
        with thread_times(pair.source.pid) as self._threads:
            self._result.started = time.monotonic()
            yield

    def measured(self, pair: GuestPair, rounds: int) -> None:
        """Read what is counted outside QEMU."""
        result, source = self._result, pair.source
        assert self._threads is not None, "the migration has begun"
        assert source.end is not None, "an experiment has a network"
        self._threads.look()
        result.ended = time.monotonic()
        result.thread_seconds = {does: self._threads.seconds(does) for does in (MIGRATION, VCPUS)}
        result.link_bytes = source.end.sent_bytes()
        result.rounds_at_end = rounds
        result.host_bytes = peak_bytes(source.pid)

    def migrated(self, pair: GuestPair, outcome: MigrationResult) -> None:
        """Keep the outcome, what QEMU was set to, and the downtime by the events of both sides."""
        source, destination = pair.source, pair.destination
        self._result.outcome = outcome
        self._result.facts = {
            "workload": self._load.facts(),
            "command_lines": [side.process.args for side in (source, destination)],
            "parameters": read_parameters(source.qmp),
            "capabilities": dict(self._experiment.settings.capabilities),
            "query_migrate": outcome.final,
        }
        if outcome.status == "completed":
            self._result.observed_downtime_ms = observed_downtime_ms(
                source.qmp.drain_events(), destination.qmp.drain_events()
            )

    def observed(self, migration: Migration | None) -> None:
        """Keep the migration; its own start is more exact than ours."""
        self._result.migration = migration
        if migration is not None:
            self._result.started = migration.start_ns / 1e9

    def compared(self, pair: GuestPair, memory: MemoryReport) -> None:
        """Keep what the comparison found, and let the guest work on the destination for a while."""
        self._result.memory = memory
        pair.destination.qmp.execute("cont")
        time.sleep(self._service_seconds)


def peak_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """The largest resident memory of a process so far, in bytes; None if the process has ended."""
    try:
        status = (proc / str(pid) / "status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return None

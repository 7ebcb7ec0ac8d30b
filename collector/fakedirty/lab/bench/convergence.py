"""The convergence benchmark: each treatment on each mix of writes, measured under the same conditions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import Settings, migrate
from fakedirty.lab.network import GIGABIT, shaped_network
from fakedirty.lab.rig import Rig, compared
from fakedirty.lab.treatments import CONVERGENCE, Treatment
from fakedirty.model.enums import Mode
from fakedirty.qmp.parameters import MODE
from fakedirty.qmp.rounds_command import read_history

from .codec_speed import CodecSpeed

GUEST_PAGE_BYTES = 4096
PAGE_BYTES = GUEST_PAGE_BYTES + 8  # on the wire: a page of these guests with its header
DOWNTIME_LIMIT_MS = 300
LINK_BITS = GIGABIT  # per second: the default


@dataclass(frozen=True, slots=True)
class Mix:
    """The pages that a guest writes, sweep after sweep."""

    name: str
    workload: Workload

    @property
    def changed_pages(self) -> float:
        """The pages that a sweep changes on average; of the phased pages that is half."""
        return self.workload.changed + self.workload.phased / 2

    @property
    def fake_share(self) -> float:
        """The share of the written pages that a sweep does not change, on average."""
        written = self.workload.fake + self.workload.changed + self.workload.phased
        return 1 - self.changed_pages / written


MIXES = (
    Mix("60k/5k", Workload(fake=60_000, changed=5_000)),
    Mix("20k/20k", Workload(fake=20_000, changed=20_000)),
    Mix("60k/500", Workload(fake=60_000, changed=500)),
    Mix("phases", Workload(phased=60_000, changed=500)),
    Mix("0/5k", Workload(changed=5_000)),
)


@dataclass(frozen=True, slots=True)
class ConvergenceJob:
    """One migration of the benchmark. The three fields together identify it."""

    repetition: int
    mix: str
    treatment: str


@dataclass(frozen=True, slots=True)
class ConvergenceRun:
    """The result of a job.

    Attributes:
        total_seconds: until the end; until the time limit if the migration did not converge. The same holds for
            `sent_bytes` and `rounds`.
        downtime_ms: None if the migration did not converge.
        sent_bytes: on the link, with headers.
        bulk_bytes: of RAM in round 1.
        bulk_pages: that are not zero in round 1.
        codec_ratio: of the codec alone, on the pages of the guest; None if the treatment does not compress.
        codec_bytes_per_second: of the codec alone, in one thread.
    """

    job: ConvergenceJob
    converged: bool
    total_seconds: float
    downtime_ms: int | None
    sent_bytes: int
    rounds: int
    bulk_bytes: int
    sweeps_per_second: float
    memory_equal: bool
    bulk_pages: int | None = None
    codec_ratio: float | None = None
    codec_bytes_per_second: float | None = None

    def limit_seconds(self, mix: Mix, bytes_per_second: float) -> float:
        """The least time that the link allows: the bulk round and one pass of the changed pages, at line rate."""
        return (self.bulk_bytes + mix.changed_pages * PAGE_BYTES / (self.codec_ratio or 1)) / bytes_per_second

    def codec_seconds(self, mix: Mix, channels: int) -> float:
        """The least time to compress these, if each channel has a core of its own; 0 without compression."""
        if self.codec_bytes_per_second is None:
            return 0.0
        pages = (self.bulk_pages or 0) + mix.changed_pages
        return pages * GUEST_PAGE_BYTES / (self.codec_bytes_per_second * channels)


def jobs(
    repetitions: int, seed: int, mixes: Sequence[Mix] = MIXES, treatments: Sequence[Treatment] = CONVERGENCE
) -> Iterator[ConvergenceJob]:
    """In each repetition every treatment once on every mix, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        for mix in mixes:
            order = list(treatments)
            chance.shuffle(order)
            for treatment in order:
                yield ConvergenceJob(repetition, mix.name, treatment.name)


def measure(
    job: ConvergenceJob,
    mix: Mix,
    treatment: Treatment,
    qemu: Path,
    guest: BuiltGuest,
    *,
    time_limit: float,
    link_bits: int = LINK_BITS,
    codec_speed: Callable[[Machine, GuestReport], CodecSpeed | None] = lambda _source, _report: None,
) -> ConvergenceRun:
    """Boot the guest, migrate it once over the link, and compare its memory.

    Args:
        job: its mix and treatment are the following two.
        mix: what the guest writes.
        treatment: how it is migrated.
        qemu: the binary of both sides.
        guest: the built guest.
        time_limit: seconds, after which the migration is let through.
        link_bits: the rate of the link, per second.
        codec_speed: measures the codec of the treatment on the sweeping guest, before the migration.
    """
    settings = Settings(
        DOWNTIME_LIMIT_MS,
        parameters={MODE: str(treatment.mode or Mode.OFF), **treatment.parameters},
        capabilities=treatment.capabilities,
        shared=treatment.shared,
    )
    with shaped_network(link_bits) as network:
        bench = Rig(qemu, guest, mix.workload, network, name=f"convergence-{treatment.name}")
        with bench.sweeping_source() as (source, report), bench.destination() as destination:
            at_limit: list[tuple[int, int]] = []
            codec = codec_speed(source, report)

            def progress() -> tuple[int, int]:
                return network.source.sent_bytes(), len(read_history(source.qmp)["rounds"])

            outcome = migrate(
                source, destination, settings, time_limit=time_limit, at_limit=lambda: at_limit.append(progress())
            )
            sent, rounds = at_limit[0] if at_limit else progress()
            first = read_history(source.qmp)["rounds"][0]
            equal = outcome.status == "completed" and compared(source, destination).equal
    return ConvergenceRun(
        job,
        converged=outcome.converged and outcome.status == "completed",
        total_seconds=outcome.measured["total-time"] / 1000,
        downtime_ms=outcome.measured.get("downtime") if outcome.converged else None,
        sent_bytes=sent,
        rounds=rounds,
        bulk_bytes=int(first["transferred"]),
        sweeps_per_second=report.sweeps_per_second or 0.0,
        memory_equal=equal,
        bulk_pages=int(first["normal"]),
        codec_ratio=codec.ratio if codec else None,
        codec_bytes_per_second=codec.bytes_per_second if codec else None,
    )

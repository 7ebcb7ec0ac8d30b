"""The benchmark of hybrid migrations: the pages that postcopy has to fetch, with skip and its sweeps, and without.

The guest runs at the destination, and misses pages there as a real guest does. Afterwards it is stopped, and its memory
is compared with the law of its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fakedirty.errors import LabError
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.workload import REFERENCE
from fakedirty.lab.migrate import Settings, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.rig import Rig, holds_what_was_written
from fakedirty.lab.treatments import Treatment
from fakedirty.model.enums import Level, Mode
from fakedirty.qmp.parameters import MODE, SWEEP
from fakedirty.qmp.rounds_command import read_history

from .convergence import DOWNTIME_LIMIT_MS, Mix
from .order import shuffled

MIX = Mix("60k/5k", REFERENCE)
AFTER = 2  # rounds of pre-copy
MBIT = 400  # per second: the default. A pass of the changed pages takes longer than the downtime limit

_OFF = Treatment(
    "off",
    "mode off",
    Level.QMP,
    Mode.OFF,
    capabilities={"postcopy-ram": True},
    postcopy_after=AFTER,
)
SWEPT, UNSWEPT = "skip, sweeps", "skip, no sweep"
ARMS = (
    _OFF,
    replace(_OFF, name=UNSWEPT, summary="skip, no sweep", mode=Mode.SKIP, parameters={SWEEP: False}),
    replace(_OFF, name=SWEPT, summary="skip, both sweeps", mode=Mode.SKIP, parameters={SWEEP: True}),
)


@dataclass(frozen=True, slots=True)
class HybridJob:
    """One migration of the benchmark."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class HybridRun:
    """The result of a job.

    Attributes:
        downtime_ms: as QEMU reports it.
        blackout_ms: from the stop of the source to the start of the destination, by the events of both.
        left_pages: that were left to postcopy; None if pre-copy completed the migration.
        requests: pages that the guest missed at the destination.
        postcopy_bytes: that were sent in postcopy.
        swept_pages: dirty pages that sweeps removed before postcopy.
        memory_right: whether the memory at the destination is what the guest has written.
    """

    job: HybridJob
    total_seconds: float
    downtime_ms: int
    blackout_ms: float
    rounds: int
    left_pages: int | None
    requests: int
    postcopy_bytes: int
    swept_pages: int
    memory_right: bool


def hybrid_jobs(repetitions: int, seed: int) -> Iterator[HybridJob]:
    """In each repetition every arm once, in an order drawn from the seed."""
    return (HybridJob(repetition, arm.name) for repetition, arm in shuffled(repetitions, seed, ARMS))


def measure_hybrid(job: HybridJob, qemu: Path, guest: BuiltGuest, *, time_limit: float, link_bits: int) -> HybridRun:
    """Boot the guest, migrate it by the arm of the job, and check the content of its pages.

    Args:
        job: to measure.
        qemu: the binary of both sides.
        guest: the built guest.
        time_limit: seconds, after which the migration is let through.
        link_bits: the rate of the link, per second.

    Raises:
        LabError: the migration did not complete.
    """
    [arm] = [each for each in ARMS if each.name == job.arm]
    settings = Settings(
        DOWNTIME_LIMIT_MS,
        parameters={MODE: str(arm.mode), **arm.parameters},
        capabilities=arm.capabilities,
    )
    with shaped_network(link_bits) as network:
        bench = Rig(qemu, guest, MIX.workload, network, name="hybrid")
        with bench.sweeping_source() as (source, report), bench.destination(runs=True) as destination:
            outcome = migrate(source, destination, settings, time_limit=time_limit, steps=arm.steps)
            outcome.check_completed(f"the migration of arm {job.arm}")
            stopped = last_event_seconds(source.qmp.drain_events(), "STOP")
            resumed = last_event_seconds(destination.qmp.drain_events(), "RESUME")
            history, ram = read_history(source.qmp), outcome.final["ram"]
            return HybridRun(
                job,
                total_seconds=outcome.final["total-time"] / 1000,
                downtime_ms=int(outcome.final["downtime"]),
                blackout_ms=(resumed - stopped) * 1000,
                rounds=len(history["rounds"]),
                left_pages=int(history["postcopy"]["pages"]) if "postcopy" in history else None,
                requests=int(ram["postcopy-requests"]),
                postcopy_bytes=int(ram["postcopy-bytes"]),
                swept_pages=int(outcome.final.get("fake-dirty", {}).get("swept", 0)),
                memory_right=holds_what_was_written(destination, report),
            )


def last_event_seconds(events: Sequence[Mapping[str, Any]], name: str) -> float:
    """The time of the last event of that name, in seconds of the host's clock; LabError if there is none."""
    stamps = [event["timestamp"] for event in events if event["event"] == name]
    if not stamps:
        raise LabError(f"there was no event {name}")
    return float(stamps[-1]["seconds"]) + float(stamps[-1]["microseconds"]) / 1e6

"""The benchmark of the downtime: its parts, and how long a client waits for the guest.

The guest runs at the destination and answers its client there. Afterwards it is stopped, and its memory is compared
with the law of its content.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.format.downtime_words import part_words
from fakedirty.lab.client.frames import FrameKind
from fakedirty.lab.client.guest_network import guest_network, qemu_arguments
from fakedirty.lab.client.sightings import ANNOUNCEMENTS, FAMILIES, Sightings
from fakedirty.lab.client.watching import ClientWatch, watched_by_client
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.observation import observed
from fakedirty.lab.rig import Rig, holds_what_was_written
from fakedirty.model.enums import Level, Mode
from fakedirty.model.migration import Migration
from fakedirty.qmp.parameters import MODE

from .convergence import DOWNTIME_LIMIT_MS, Mix
from .order import shuffled

#: What a sweep writes fits the downtime limit, so it converges with skip and without. The other pages take the time in
#: which the observer finds the destination.
MIX = Mix("5k/2k", Workload(fake=5_000, changed=2_000, untouched=60_000))
REPLY_SECONDS = 60.0  # generous: a loaded machine runs the guest slowly
ANNOUNCED_SECONDS = 1.0  # QEMU announces the guest for 0.8 s


@dataclass(frozen=True, slots=True)
class DowntimeArm:
    """What is compared.

    Attributes:
        name: of the arm.
        level: at which the migration is observed.
        mode: of the patch series.
    """

    name: str
    level: Level
    mode: Mode


ARMS = (
    DowntimeArm("off, level usdt", Level.USDT, Mode.OFF),
    DowntimeArm("off", Level.PATCHED, Mode.OFF),
    DowntimeArm("skip", Level.PATCHED, Mode.SKIP),
)


@dataclass(frozen=True, slots=True)
class DowntimeJob:
    """One migration of the benchmark."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class DowntimeRun:
    """The result of a job. Times are in milliseconds.

    Attributes:
        total_seconds: of the migration.
        downtime_ms: as QEMU reports it.
        blackout_ms: from the stop on the source to the run on the destination, on one clock.
        parts: counted time by kind of part, over all devices.
        unexplained_ms: the part of the blackout that no part explains.
        slowest: the slowest five parts, as text with their time.
        outages: by IP family, from the client's last reply to its first one.
        replies: by IP family, from the run on the destination to the client's first reply.
        unanswered: by IP family, requests that were never answered.
        announced: by kind of announcement, from the run on the destination to the first one; None if none was seen.
        memory_right: whether the memory at the destination is what the guest has written.
    """

    job: DowntimeJob
    total_seconds: float
    downtime_ms: int
    blackout_ms: float
    parts: dict[str, float]
    unexplained_ms: float
    memory_right: bool
    slowest: list[tuple[str, float]] = field(default_factory=list)
    outages: dict[str, float] = field(default_factory=dict)
    replies: dict[str, float] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)
    announced: dict[str, float | None] = field(default_factory=dict)


def downtime_jobs(repetitions: int, seed: int) -> Iterator[DowntimeJob]:
    """In each repetition every arm once, in an order drawn from the seed."""
    return (DowntimeJob(repetition, arm.name) for repetition, arm in shuffled(repetitions, seed, ARMS))


def measure_downtime(
    job: DowntimeJob, qemu: Path, guest: BuiltGuest, *, time_limit: float, link_bits: int
) -> DowntimeRun:
    """Boot the guest, migrate it while its client talks to it, and check the content of its pages.

    Args:
        job: to measure.
        qemu: the binary of both sides.
        guest: the built Linux guest.
        time_limit: seconds, after which the migration is let through.
        link_bits: the rate of the link, per second.

    Raises:
        LabError: the migration did not complete, no part of its downtime was seen, or the guest does not answer.
    """
    [arm] = [each for each in ARMS if each.name == job.arm]
    with shaped_network(link_bits) as hosts, guest_network(hosts) as client, watched_by_client(client) as watch:
        rig = Rig(qemu, guest, MIX.workload, hosts, more=qemu_arguments(MIX.workload), name="downtime")
        with rig.sweeping_source() as (source, report), rig.destination(runs=True) as destination:
            watch.wait_for_replies(time.monotonic_ns(), REPLY_SECONDS)
            with observed(source.pid, arm.level, [], qmp_path=source.observer_socket) as observer:
                settings = Settings(DOWNTIME_LIMIT_MS, parameters={MODE: str(arm.mode)})
                outcome = migrate(source, destination, settings, time_limit=time_limit)
                outcome.check_completed(f"the migration of arm {job.arm}")
                migration = observer.migration()
            resumed_ns = migration.resumed_ns
            if resumed_ns is None:
                raise LabError("the observer did not see the guest run at the destination")
            seen = _answered(watch, resumed_ns)
            right = holds_what_was_written(destination, report)
    return _run(job, migration, int(outcome.final["downtime"]), outcome.final["total-time"] / 1000, seen, right=right)


def _answered(watch: ClientWatch, resumed_ns: int) -> Sightings:
    """What the client saw until the guest had answered it, and was announced for the last time."""
    watch.wait_for_replies(resumed_ns, REPLY_SECONDS)
    over = resumed_ns / 1e9 + ANNOUNCED_SECONDS
    time.sleep(max(0.0, over - time.monotonic()))
    return watch.sightings()


def _run(
    job: DowntimeJob, migration: Migration, downtime_ms: int, seconds: float, seen: Sightings, *, right: bool
) -> DowntimeRun:
    blackout, resumed_ns = migration.blackout, migration.resumed_ns
    if blackout is None or blackout.duration_ns is None or blackout.unexplained_ns is None or resumed_ns is None:
        raise LabError("the observer saw no part of the downtime")
    found = {family: seen.outage(family, resumed_ns) for family in FAMILIES}
    outages = {family: outage for family, outage in found.items() if outage is not None}
    return DowntimeRun(
        job,
        seconds,
        downtime_ms,
        blackout_ms=blackout.duration_ns / 1e6,
        parts={str(kind): counted_ns / 1e6 for kind, counted_ns in blackout.counted.items()},
        unexplained_ms=blackout.unexplained_ns / 1e6,
        memory_right=right,
        slowest=[(part_words(part), part.weight_ns / 1e6) for part in blackout.slowest()],
        outages={family: outage.duration_ns / 1e6 for family, outage in outages.items()},
        replies={family: (outage.first_ns - resumed_ns) / 1e6 for family, outage in outages.items()},
        unanswered={family: outage.unanswered for family, outage in outages.items()},
        announced={str(kind): _announced(seen, kind, migration) for kind in ANNOUNCEMENTS},
    )


def _announced(seen: Sightings, kind: FrameKind, migration: Migration) -> float | None:
    assert migration.stopped_ns is not None
    assert migration.resumed_ns is not None
    at_ns = seen.first(kind, migration.stopped_ns)  # QEMU announces the guest while it starts it
    return None if at_ns is None else (at_ns - migration.resumed_ns) / 1e6

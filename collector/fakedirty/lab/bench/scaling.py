"""The scaling benchmark: how much faster a migration finds fake pages with two channels than with one.

Rounds are looked at in which nothing but fake pages is visited, without multifd and with one and two channels. The
guest rewrites all its pages with what they hold and is then stopped, so that the round after that has all cores for
itself, and it is that round which counts. The step that all of them share has a benchmark of its own (``step_speed``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PAUSED
from fakedirty.lab.testbed import Testbed
from fakedirty.qmp.parameters import SET
from fakedirty.qmp.rounds_command import read_history

from .full_speed import (
    ALL_FAKE,
    LOCKED,
    PASS_SECONDS,
    await_state,
    cancel,
    channel_seconds,
    prepare,
    sink,
    skip_on_the_run,
    take_channels,
    take_mode,
    thread_seconds,
)
from .order import shuffled

ARMS = {"no multifd": 0, "1 channel": 1, "2 channels": 2}  # channels by arm

LEAST_PAGES = 50_000  # of a round that is looked at; in less, a clock's and an event's delay counts
FAKE_SHARE = 0.999  # of them: the guest's own pages change
TRIES = 10
ENDLESS = {"avail-switchover-bandwidth": 1000}  # bytes/s: as long as a page is dirty, no migration ends
SELDOM, OFTEN = {"downtime-limit": 300}, {"downtime-limit": 1}  # bitmap syncs: ten a second, or as they come
RUNNING_SECONDS = 0.5  # in which the guest rewrites everything once more


@dataclass(frozen=True, slots=True)
class ScalingJob:
    """One run of an arm."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a page took, in nanoseconds, in a round of so many pages.

    `path_ns` is the round's time by its pages; `main_ns` and `channel_ns` are CPU time of the migration thread and of
    all channels together; `hash_ns` is what QEMU counts as copying and hashing.
    """

    job: ScalingJob
    path_ns: float
    main_ns: float
    channel_ns: float
    hash_ns: float
    pages: int


def scaling_jobs(repetitions: int, seed: int) -> Iterator[ScalingJob]:
    """In each repetition every arm once, in an order drawn from the seed."""
    return (ScalingJob(repetition, name) for repetition, name in shuffled(repetitions, seed, tuple(ARMS)))


def most_speedup(hashing: float, queueing: float) -> float:
    """What two cores allow a second channel to add: one hashes while pages are queued, two share all the work."""
    return 2 * hashing / (hashing + queueing)


@contextmanager
def scaling_bench(qemu: Path, guest: BuiltGuest) -> Iterator[Callable[[ScalingJob], Scaling]]:
    """The guest, booted once, and what measures a job; a migration of each path comes first, unmeasured."""
    with sink() as uri, Testbed(qemu, guest, ALL_FAKE, network=None, more=LOCKED, name="scaling").source() as source:
        prepare(source.qmp, running=True)
        source.qmp.execute(SET, ENDLESS)

        def measure(job: ScalingJob) -> Scaling:
            return _path(job, source, uri)

        for arm in ARMS:
            measure(ScalingJob(0, arm))
        yield measure


def _path(job: ScalingJob, source: Machine, uri: str) -> Scaling:
    """Migrate until a round after the stop has pages enough: how many there are is up to when it comes."""
    for _ in range(TRIES):
        found = _round(job, source, uri)
        if found:
            return found
    raise LabError(f"no round in {TRIES} migrations had {LEAST_PAGES:,} pages: does the guest write at all?")


def _round(job: ScalingJob, source: Machine, uri: str) -> Scaling | None:
    """One migration, and the round that begins when the guest was stopped; None where that has too few pages."""
    take_channels(source.qmp, ARMS[job.arm])
    take_mode(source.qmp, "skip")
    source.qmp.execute(SET, SELDOM)
    skip_on_the_run(source, uri)
    time.sleep(RUNNING_SECONDS)
    source.qmp.drain_events()
    source.qmp.execute("stop")
    source.qmp.execute(SET, OFTEN)  # so that the round ends when its pages are through
    if source.qmp.execute("query-migrate")["status"] != "active":  # the guest wrote nothing for a moment
        cancel(source.qmp)
        return None
    number = _next_round(source)
    before = thread_seconds(source), channel_seconds(source)
    await_state(source.qmp, PAUSED)
    main, channels = thread_seconds(source) - before[0], channel_seconds(source) - before[1]
    [round_] = [each for each in read_history(source.qmp)["rounds"] if each["round"] == number]
    cancel(source.qmp)
    pages = int(round_["visited"])
    if pages < LEAST_PAGES:
        return None
    if round_["skipped"] < FAKE_SHARE * pages:
        raise LabError(f"of {pages:,} pages of a guest that changes few, {round_['skipped']:,} were skipped")
    return Scaling(
        job,
        path_ns=(round_["end"] - round_["start"]) / pages,
        main_ns=main / pages * 1e9,
        channel_ns=channels / pages * 1e9,
        hash_ns=round_["hash-time"] / pages,
        pages=pages,
    )


def _next_round(source: Machine) -> int:
    """The number of the first round that begins when the guest has stopped."""
    deadline = time.monotonic() + PASS_SECONDS
    stopped = False
    while (left := deadline - time.monotonic()) > 0:
        event = source.qmp.wait_event(("STOP", "MIGRATION_PASS"), left)
        if event and event["event"] == "STOP":
            stopped = True
        elif event and stopped:
            return int(event["data"]["pass"])
    raise LabError(f"no round began within {PASS_SECONDS:g} s after the guest was stopped")

"""The scaling benchmark: how much faster a migration finds fake pages with two channels than with one.

It measures rounds that visit fake pages only, without multifd and with one and two channels. The guest rewrites all its
pages with their own content, and is then stopped. The next round has all cores for itself, and is measured. The step
that all paths share has a benchmark of its own (``step_speed``).
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
from fakedirty.lab.rig import Rig
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
    set_channels,
    set_next_mode,
    sink,
    start_skipping,
    thread_seconds,
)
from .order import shuffled

ARMS = {"no multifd": 0, "1 channel": 1, "2 channels": 2}  # channels by arm

LEAST_PAGES = 50_000  # of a measured round: in a shorter one the delays of clock and events count
FAKE_SHARE = 0.999  # of these pages: the guest's own pages change
TRIES = 10
ENDLESS = {"avail-switchover-bandwidth": 1000}  # bytes/s: no migration ends while a page is dirty
SELDOM, OFTEN = {"downtime-limit": 300}, {"downtime-limit": 1}  # bitmap syncs: ten per second, or as many as possible
RUNNING_SECONDS = 0.5  # in which the guest rewrites all pages once more


@dataclass(frozen=True, slots=True)
class ScalingJob:
    """One run of an arm."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class ScalingRun:
    """Nanoseconds for a page in a round of `pages` pages.

    Attributes:
        path_ns: elapsed time of the round.
        main_ns: CPU time of the migration thread.
        channel_ns: CPU time of all channels together.
        hash_ns: the time that QEMU counts as copying and hashing.
    """

    job: ScalingJob
    path_ns: float
    main_ns: float
    channel_ns: float
    hash_ns: float
    pages: int

    @property
    def cpu_ns(self) -> float:
        """CPU time of all threads."""
        return self.main_ns + self.channel_ns


def scaling_jobs(repetitions: int, seed: int) -> Iterator[ScalingJob]:
    """In each repetition every arm once, in an order drawn from the seed."""
    return (ScalingJob(repetition, name) for repetition, name in shuffled(repetitions, seed, tuple(ARMS)))


def most_speedup(hashing: float, queueing: float) -> float:
    """How many times faster two cores can make a second channel.

    With one channel, hashing and queueing take a core each, and the slower one decides. With two channels, both cores
    share all the work.

    Args:
        hashing: time of a channel for a page.
        queueing: time of the migration thread for a page.
    """
    return 2 * hashing / (hashing + queueing)


@contextmanager
def scaling_bench(qemu: Path, guest: BuiltGuest) -> Iterator[Callable[[ScalingJob], ScalingRun]]:
    """Boot the guest; yields the function that measures a job. First, each arm migrates once without being measured."""
    with sink() as uri, Rig(qemu, guest, ALL_FAKE, network=None, more=LOCKED, name="scaling").source() as source:
        prepare(source.qmp, running=True)
        source.qmp.execute(SET, ENDLESS)

        def measure(job: ScalingJob) -> ScalingRun:
            return _measure(job, source, uri)

        for arm in ARMS:
            measure(ScalingJob(0, arm))
        yield measure


def _measure(job: ScalingJob, source: Machine, uri: str) -> ScalingRun:
    """Migrate until a round after the stop has enough pages. How many it has depends on the moment of the stop."""
    for _ in range(TRIES):
        run = _measure_round(job, source, uri)
        if run:
            return run
    raise LabError(f"no round in {TRIES} migrations had {LEAST_PAGES:,} pages: does the guest write at all?")


def _measure_round(job: ScalingJob, source: Machine, uri: str) -> ScalingRun | None:
    """Migrate once, and measure the first round that begins after the stop; None if it has too few pages."""
    set_channels(source.qmp, ARMS[job.arm])
    set_next_mode(source.qmp, "skip")
    source.qmp.execute(SET, SELDOM)
    start_skipping(source, uri)
    time.sleep(RUNNING_SECONDS)
    source.qmp.drain_events()
    source.qmp.execute("stop")
    source.qmp.execute(SET, OFTEN)  # so that the round ends when all its pages are visited
    if source.qmp.execute("query-migrate")["status"] != "active":  # the migration ended in a moment without writes
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
    return ScalingRun(
        job,
        path_ns=(round_["end"] - round_["start"]) / pages,
        main_ns=main / pages * 1e9,
        channel_ns=channels / pages * 1e9,
        hash_ns=round_["hash-time"] / pages,
        pages=pages,
    )


def _next_round(source: Machine) -> int:
    """The number of the first round that begins after the guest has stopped."""
    deadline = time.monotonic() + PASS_SECONDS
    stopped = False
    while (left := deadline - time.monotonic()) > 0:
        event = source.qmp.wait_event(("STOP", "MIGRATION_PASS"), left)
        if event and event["event"] == "STOP":
            stopped = True
        elif event and stopped:
            return int(event["data"]["pass"])
    raise LabError(f"no round began within {PASS_SECONDS:g} s after the guest was stopped")

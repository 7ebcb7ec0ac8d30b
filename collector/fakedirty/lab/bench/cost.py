"""The cost benchmark: what a page costs the migration thread, at full speed, without the series and in each mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.testbed import Testbed

from .full_speed import ALL_FAKE, FULL, LOCKED, later_rounds, one_pass, prepare, sink, take_channels, take_mode
from .order import shuffled


@dataclass(frozen=True, slots=True)
class Arm:
    """What is compared: a QEMU with or without the series, and its mode (None: it has none).

    A pass sends all pages of `workload` once, over `channels` of multifd or, with 0, without it. With `rounds`, those
    that follow are looked at instead.
    """

    name: str
    series: bool
    mode: str | None
    workload: Workload = FULL
    rounds: bool = False
    channels: int = 0


CHANNELS = 2
MULTIFD = f", {CHANNELS} channels"  # what the name of an arm ends with

_PASSES = (
    Arm("unpatched", series=False, mode=None),
    Arm("off", series=True, mode="off"),
    Arm("observe", series=True, mode="observe"),
    Arm("skip", series=True, mode="skip"),
)
ARMS = (
    *_PASSES,
    Arm("skip, all fake", series=True, mode="skip", workload=ALL_FAKE, rounds=True),
    *(replace(arm, name=arm.name + MULTIFD, channels=CHANNELS) for arm in _PASSES),
)
#: What is compared with what: the first, and what it adds to.
COMPARED = tuple(
    (first + end, second + end)
    for end in ("", MULTIFD)
    for first, second in (("unpatched", "off"), ("off", "observe"), ("off", "skip"))
)


@dataclass(frozen=True, slots=True)
class CostJob:
    """One migration of the benchmark."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many pages cost: seconds that passed, and those on a CPU of the migration thread and of all channels."""

    job: CostJob
    pass_seconds: float
    thread_seconds: float
    pages: int
    channel_seconds: float = 0.0

    @property
    def thread_ns_per_page(self) -> float:
        """CPU time of the migration thread and of the channels together, in nanoseconds."""
        return (self.thread_seconds + self.channel_seconds) / self.pages * 1e9


def cost_jobs(repetitions: int, seed: int, arms: Sequence[Arm] = ARMS) -> Iterator[CostJob]:
    """In each repetition every one of `arms` once, in an order drawn from the seed."""
    return (CostJob(repetition, arm.name) for repetition, arm in shuffled(repetitions, seed, arms))


@contextmanager
def cost_bench(
    series: Path, unpatched: Path, guest: BuiltGuest, arms: Sequence[Arm] = ARMS
) -> Iterator[Callable[[CostJob], Cost]]:
    """The guests that the arms need, booted once, and what measures a job on them, into a sink on loopback.

    No guest ends up anywhere: each migration is cancelled when it is measured. No guest runs but one whose
    rounds are looked at. One migration of each arm comes first, unmeasured, so that all memory is there.
    """
    by_name = {arm.name: arm for arm in arms}
    with ExitStack() as stack:
        uri = stack.enter_context(sink())
        sources: dict[tuple[bool, Workload], Machine] = {}
        for arm in arms:
            key = (arm.series, arm.workload)
            if key not in sources:
                qemu = series if arm.series else unpatched
                bench = Testbed(qemu, guest, arm.workload, network=None, more=LOCKED, name="cost")
                sources[key] = stack.enter_context(bench.source())
                prepare(sources[key].qmp, running=arm.rounds)

        def measure(job: CostJob) -> Cost:
            arm = by_name[job.arm]
            source = sources[arm.series, arm.workload]
            take_channels(source.qmp, arm.channels)
            if arm.mode:
                take_mode(source.qmp, arm.mode)
            spent = (later_rounds if arm.rounds else one_pass)(source, uri)
            return Cost(job, spent.pass_seconds, spent.thread_seconds, spent.pages, spent.channel_seconds)

        for arm in arms:
            measure(CostJob(0, arm.name))
        yield measure


class _Job(Protocol):
    @property
    def repetition(self) -> int: ...

    @property
    def arm(self) -> str: ...


class CostMeasurement(Protocol):
    """What a repetition has of each arm."""

    @property
    def job(self) -> _Job:
        """Which repetition and which arm."""


def paired(
    costs: Sequence[CostMeasurement], first: str, second: str, figure: str, *, share: bool = True
) -> list[float]:
    """By repetition, the difference of `second` to `first`, as a share of `first` or, without `share`, as it is."""
    values = {(cost.job.repetition, cost.job.arm): float(getattr(cost, figure)) for cost in costs}
    repetitions = sorted({cost.job.repetition for cost in costs})
    both = [(values.get((number, first)), values.get((number, second))) for number in repetitions]
    whole = [(before, after) for before, after in both if before is not None and after is not None]
    return [(after - before) / (before if share else 1) for before, after in whole]

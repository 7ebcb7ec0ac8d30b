"""The cost benchmark: CPU time for a page at full speed, without the patch series and in each mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.rig import Rig

from .full_speed import ALL_FAKE, FULL, LOCKED, later_rounds, one_pass, prepare, set_channels, set_next_mode, sink
from .order import shuffled


@dataclass(frozen=True, slots=True)
class Arm:
    """What is compared: a QEMU with or without the patch series, in a mode.

    Attributes:
        series: whether QEMU has the patch series.
        mode: None without the patch series.
        workload: a pass sends all its pages once.
        rounds: whether the rounds after that pass are measured instead of it.
        channels: of multifd; 0: without it.
    """

    name: str
    series: bool
    mode: str | None
    workload: Workload = FULL
    rounds: bool = False
    channels: int = 0


CHANNELS = 2
MULTIFD = f", {CHANNELS} channels"  # the end of the name of an arm with multifd

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
#: Pairs of arms: the base, and the arm whose difference to it is reported.
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
class CostRun:
    """The cost of `pages` pages: elapsed seconds, and CPU seconds of the migration thread and of all channels."""

    job: CostJob
    pass_seconds: float
    thread_seconds: float
    pages: int
    channel_seconds: float = 0.0

    @property
    def thread_ns_per_page(self) -> float:
        """CPU time for a page of the migration thread and of all channels together, in nanoseconds."""
        return (self.thread_seconds + self.channel_seconds) / self.pages * 1e9


def cost_jobs(repetitions: int, seed: int, arms: Sequence[Arm] = ARMS) -> Iterator[CostJob]:
    """In each repetition every one of `arms` once, in an order drawn from the seed."""
    return (CostJob(repetition, arm.name) for repetition, arm in shuffled(repetitions, seed, arms))


@contextmanager
def cost_bench(
    series: Path, unpatched: Path, guest: BuiltGuest, arms: Sequence[Arm] = ARMS
) -> Iterator[Callable[[CostJob], CostRun]]:
    """Boot the guests that the arms need; yields the function that measures a job.

    The migrations go to a sink on loopback, and are cancelled when they are measured. Only a guest whose later rounds
    are measured runs. First, each arm migrates once without being measured, so that all memory is allocated.

    Args:
        series: the binary with the patch series.
        unpatched: the binary without it.
        guest: the built guest.
        arms: those that are measured.
    """
    by_name = {arm.name: arm for arm in arms}
    with ExitStack() as stack:
        uri = stack.enter_context(sink())
        sources: dict[tuple[bool, Workload], Machine] = {}
        for arm in arms:
            key = (arm.series, arm.workload)
            if key not in sources:
                qemu = series if arm.series else unpatched
                bench = Rig(qemu, guest, arm.workload, network=None, more=LOCKED, name="cost")
                sources[key] = stack.enter_context(bench.source())
                prepare(sources[key].qmp, running=arm.rounds)

        def measure(job: CostJob) -> CostRun:
            arm = by_name[job.arm]
            source = sources[arm.series, arm.workload]
            set_channels(source.qmp, arm.channels)
            if arm.mode:
                set_next_mode(source.qmp, arm.mode)
            spent = (later_rounds if arm.rounds else one_pass)(source, uri)
            return CostRun(job, spent.pass_seconds, spent.thread_seconds, spent.pages, spent.channel_seconds)

        for arm in arms:
            measure(CostJob(0, arm.name))
        yield measure

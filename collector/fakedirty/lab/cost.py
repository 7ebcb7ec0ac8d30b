"""The cost benchmark: what a page costs the migration thread, at full speed, without the series and in each mode."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import MODE

from .bench import Bench, compared
from .guest import BuiltGuest
from .guest_workload import Workload
from .machine import Machine
from .migrate import PAUSED, Settings, Step, migrate
from .network import shaped_network

MIGRATION_THREADS = ("mig/src/main", "live_migration")  # its name over the versions of QEMU, with debug-threads=on
WIRE_BITS = 100_000_000_000  # no limit: the cores are
TIME_LIMIT_SECONDS = 300.0

#: 2 GiB of pages that no zero detection shortens, of a guest that is stopped: one pass, the same each time.
FULL = Workload(untouched=524_288, memory_mib=2304)


@dataclass(frozen=True, slots=True)
class Arm:
    """What is compared: a QEMU with or without the series, and its mode (None: it has none)."""

    name: str
    series: bool
    mode: str | None


ARMS = (
    Arm("unpatched", series=False, mode=None),
    Arm("off", series=True, mode="off"),
    Arm("observe", series=True, mode="observe"),
    Arm("skip", series=True, mode="skip"),
)


@dataclass(frozen=True, slots=True)
class CostJob:
    """One migration of the benchmark."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What it cost: seconds of the pass, and of them those on a CPU of the migration thread; for so many pages."""

    job: CostJob
    pass_seconds: float
    thread_seconds: float
    pages: int
    memory_equal: bool

    @property
    def thread_ns_per_page(self) -> float:
        """CPU time of the migration thread, in nanoseconds."""
        return self.thread_seconds / self.pages * 1e9


def cost_jobs(repetitions: int, seed: int) -> Iterator[CostJob]:
    """In each repetition every arm once, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        order = [arm.name for arm in ARMS]
        chance.shuffle(order)
        yield from (CostJob(repetition, name) for name in order)


def measure_cost(job: CostJob, arm: Arm, qemu: Path, guest: BuiltGuest, workload: Workload = FULL) -> Cost:
    """Boot the guest, stop it, migrate it at full speed, and look at the thread before it switches over."""
    read: list[tuple[float, float]] = []

    def look(qmp: Qmp) -> None:
        read.append((time.monotonic(), thread_seconds(source)))
        qmp.execute("migrate-continue", state=PAUSED)

    settings = Settings(parameters={MODE: arm.mode} if arm.mode else {}, capabilities={"pause-before-switchover": True})
    with shaped_network(WIRE_BITS) as network:
        bench = Bench(qemu, guest, workload, network, name=f"cost-{arm.name}")
        with bench.source() as source, bench.destination() as destination:
            source.qmp.execute("stop")
            start = time.monotonic()
            outcome = migrate(
                source, destination, settings, time_limit=TIME_LIMIT_SECONDS, steps=[Step(look, in_state=PAUSED)]
            )
            if outcome.status != "completed" or not read:
                raise LabError(
                    f"the migration of {arm.name} is {outcome.status}: {outcome.final.get('error-desc', '')}"
                )
            ram = outcome.final["ram"]
            equal = compared(source, destination).equal
    paused, seconds = read[0]
    return Cost(job, paused - start, seconds, ram["normal"] + ram["duplicate"], equal)


def thread_seconds(source: Machine, proc: Path = Path("/proc")) -> float:
    """Time on a CPU of the migration thread so far (/proc/PID/task/TID/schedstat)."""
    for task in (proc / str(source.pid) / "task").iterdir():
        if (task / "comm").read_text().strip() in MIGRATION_THREADS:
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise LabError(f"{source.name} has no migration thread: it is over, or has another name than {MIGRATION_THREADS}")


def paired(costs: Sequence[Cost], first: str, second: str, figure: str) -> list[float]:
    """By repetition, the difference of `second` to `first` as a share of `first`."""
    values = {(cost.job.repetition, cost.job.arm): float(getattr(cost, figure)) for cost in costs}
    repetitions = sorted({cost.job.repetition for cost in costs})
    both = [(values.get((number, first)), values.get((number, second))) for number in repetitions]
    return [(after - before) / before for before, after in both if before is not None and after is not None]

"""The overhead benchmark: what being observed costs a migration at full speed, and what it costs the collector."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fakedirty.errors import LabError
from fakedirty.model.words import Level
from fakedirty.qmp.mode import MODE
from fakedirty.record.load import load

from .bench import Bench
from .full_speed import FULL, LOCKED, Spent, one_pass, prepare, sink
from .guest import BuiltGuest
from .machine import Machine

PASSES = 3  # that are observed in a row, and measured
AROUND = 2  # unobserved, before and after them: what they are compared with, as near in time as can be
ATTACH_SECONDS = 60.0
END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OverheadArm:
    """A way of being observed, in a mode. `turns` is how often in a repetition: what costs little takes long to see."""

    name: str
    mode: str
    level: Level
    more: tuple[str, ...] = ()
    turns: int = 1


ARMS = (
    OverheadArm("patched", "observe", Level.PATCHED, turns=4),
    OverheadArm("patched, pages", "observe", Level.PATCHED, ("--pages",), turns=4),
    OverheadArm("qmp", "off", Level.QMP),
    OverheadArm("usdt", "off", Level.USDT),
    OverheadArm("usdt, pages", "off", Level.USDT, ("--pages",)),
    OverheadArm("stock", "off", Level.STOCK),
    OverheadArm("stock, pages", "off", Level.STOCK, ("--pages",)),
    OverheadArm("stock, 1/16", "off", Level.STOCK, ("--sample", "1/16")),
)


@dataclass(frozen=True, slots=True)
class OverheadJob:
    """Passes of one arm, and unobserved ones around them."""

    repetition: int
    arm: str
    turn: int


@dataclass(frozen=True, slots=True)
class Overhead:
    """What an observed pass took and what an unobserved one took, medians; the collector's CPU time for one, its
    largest resident memory, and by how much that grew over the passes; events that were lost in any.

    Seconds that passed, and those on a CPU of the migration thread, as in :class:`Spent`.
    """

    job: OverheadJob
    pass_seconds: float
    thread_seconds: float
    base_pass_seconds: float
    base_thread_seconds: float
    pages: int
    collector_seconds: float
    collector_bytes: int
    grown_bytes: int
    lost_events: int

    @property
    def time_share(self) -> float:
        """By what share of itself a pass gets longer."""
        return self.pass_seconds / self.base_pass_seconds - 1

    @property
    def thread_share(self) -> float:
        """By what share of itself the CPU time of the migration thread grows."""
        return self.thread_seconds / self.base_thread_seconds - 1

    @property
    def added_ns(self) -> float:
        """CPU time of the migration thread that a page costs more, in nanoseconds."""
        return (self.thread_seconds - self.base_thread_seconds) / self.pages * 1e9


def overhead_jobs(repetitions: int, seed: int) -> Iterator[OverheadJob]:
    """In each repetition every arm as often as it has turns, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        order = [OverheadJob(repetition, arm.name, turn) for arm in ARMS for turn in range(1, arm.turns + 1)]
        chance.shuffle(order)
        yield from order


@contextmanager
def overhead_bench(qemu: Path, guest: BuiltGuest) -> Iterator[Callable[[OverheadJob], Overhead]]:
    """One stopped guest, and what measures a job on it. A pass of each mode comes first, unmeasured."""
    arms = {arm.name: arm for arm in ARMS}
    with ExitStack() as stack:
        uri = stack.enter_context(sink())
        source = stack.enter_context(Bench(qemu, guest, FULL, network=None, more=LOCKED, name="overhead").source())
        prepare(source.qmp, running=False)

        def measure(job: OverheadJob) -> Overhead:
            arm = arms[job.arm]
            source.qmp.execute("migrate-set-parameters", {MODE: arm.mode})
            around = [one_pass(source, uri) for _ in range(AROUND)]
            observed = _observed(arm, source, uri)
            around += [one_pass(source, uri) for _ in range(AROUND)]
            return Overhead(
                job,
                pass_seconds=median(spent.pass_seconds for spent in observed.passes),
                thread_seconds=median(spent.thread_seconds for spent in observed.passes),
                base_pass_seconds=median(spent.pass_seconds for spent in around),
                base_thread_seconds=median(spent.thread_seconds for spent in around),
                pages=around[0].pages,
                collector_seconds=observed.collector_seconds,
                collector_bytes=observed.peak,
                grown_bytes=observed.grown,
                lost_events=observed.lost,
            )

        for mode in ("off", "observe"):
            source.qmp.execute("migrate-set-parameters", {MODE: mode})
            one_pass(source, uri)
        yield measure


@dataclass(frozen=True, slots=True)
class _Observed:
    """Passes that were observed, and what that took the collector."""

    passes: Sequence[Spent]
    collector_seconds: float
    peak: int
    grown: int
    lost: int


def _observed(arm: OverheadArm, source: Machine, uri: str) -> _Observed:
    """By a collector in a process of its own, that records to files and has seen a pass before."""
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory, ExitStack() as stack:
        out = Path(directory) / "out"
        collector = stack.enter_context(_collector(source, arm, out))
        passes, seconds, peaks = [], [], []
        for number in range(1 + PASSES):
            before = _cpu_seconds(collector.pid)
            passes.append(one_pass(source, uri))
            _await_end(out, number + 1)
            seconds.append(_cpu_seconds(collector.pid) - before)
            peaks.append(_peak_bytes(collector.pid))
        migrations = load(out).migrations
        if arm.level is not Level.QMP and not migrations["rounds"].all():
            raise LabError(f"{arm.name}: the collector saw no round")
        lost = int(migrations["lost_events"].sum())
        return _Observed(passes[1:], median(seconds[1:]), peaks[-1], peaks[-1] - peaks[0], lost)


@contextmanager
def _collector(source: Machine, arm: OverheadArm, out: Path) -> Iterator[subprocess.Popen[str]]:
    """``fakedirty observe``, attached."""
    command = [sys.executable, "-m", "fakedirty.cli.main", "observe", "--pid", str(source.pid), "--json"]
    command += ["--level", str(arm.level), "--qmp", str(source.observer_socket), "--out", str(out), *arm.more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        deadline = time.monotonic() + ATTACH_SECONDS
        said: list[str] = []
        while not any(line.startswith("attached") for line in said):
            said.append(process.stderr.readline())
            if not said[-1] or time.monotonic() > deadline:
                raise LabError(f"the collector did not attach: {''.join(said).strip()}")
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(END_SECONDS)
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def _await_end(out: Path, migrations: int) -> None:
    """Until the collector has written all of so many migrations."""
    deadline = time.monotonic() + END_SECONDS
    while len(list(out.glob("*/*/migration.json"))) < migrations or list(out.glob("*/*.partial")):
        if time.monotonic() > deadline:
            raise LabError(f"the collector did not end its recording within {END_SECONDS:g} s")
        time.sleep(0.02)


def _cpu_seconds(pid: int, proc: Path = Path("/proc")) -> float:
    """Time on a CPU of all threads of a process so far: counted, where /proc/PID/stat has it by sampling."""
    tasks = (proc / str(pid) / "task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _peak_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """The largest resident memory of a process so far."""
    for line in (proc / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise LabError(f"/proc/{pid}/status has no VmHWM")

"""The overhead benchmark: the cost of observation, for a migration at full speed and for the collector."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, mean, median

from fakedirty.errors import LabError
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.machine import Machine
from fakedirty.lab.rig import Rig
from fakedirty.model.enums import Level
from fakedirty.record.load import load

from .full_speed import FULL, LOCKED, TimeSpent, one_pass, prepare, set_next_mode, sink
from .order import shuffled

PAIRS = 6  # of passes, an observed and an unobserved one right after each other
ATTACH_SECONDS = 60.0
END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OverheadArm:
    """A kind of observation, in a mode.

    Attributes:
        name: of the arm.
        mode: of QEMU.
        level: of the observation.
        more: further options of the collector.
        turns: how often it is measured in a repetition. A small cost needs many measurements.
        beside: whether the collector observes another guest, and not this one. Both run the same executable, and the
            probes lie on it.
    """

    name: str
    mode: str
    level: Level
    more: tuple[str, ...] = ()
    turns: int = 1
    beside: bool = False


ARMS = (
    OverheadArm("patched", "observe", Level.PATCHED, turns=4),
    OverheadArm("patched, pages", "observe", Level.PATCHED, ("--pages",), turns=4),
    OverheadArm("qmp", "off", Level.QMP),
    OverheadArm("usdt", "off", Level.USDT),
    OverheadArm("usdt, pages", "off", Level.USDT, ("--pages",)),
    OverheadArm("stock", "off", Level.STOCK),
    OverheadArm("stock, pages", "off", Level.STOCK, ("--pages",)),
    OverheadArm("stock, 1/16", "off", Level.STOCK, ("--sample", "1/16")),
    OverheadArm("beside usdt", "off", Level.USDT, beside=True),
    OverheadArm("beside stock", "off", Level.STOCK, beside=True),
)


@dataclass(frozen=True, slots=True)
class OverheadJob:
    """Passes of one arm, which alternate with unobserved ones."""

    repetition: int
    arm: str
    turn: int


@dataclass(frozen=True, slots=True)
class OverheadRun:
    """The cost of observation, from pairs of an observed and an unobserved pass.

    Attributes:
        time_share: by which share a pass takes longer. Like the next two: median of the pairs, mean of both guests.
        thread_share: by which share the CPU time of the migration thread grows.
        added_ns: by how much that CPU time grows for a page, in nanoseconds.
        pass_seconds: of an observed pass; median.
        base_pass_seconds: of an unobserved pass; median.
        pages: of a pass.
        collector_seconds: CPU time of the collector for a pass; median.
        collector_bytes: the largest resident memory of the collector.
        grown_bytes: by how much that grew from the first pass to the last one.
        lost_events: of all passes.
    """

    job: OverheadJob
    time_share: float
    thread_share: float
    added_ns: float
    pass_seconds: float
    base_pass_seconds: float
    pages: int
    collector_seconds: float
    collector_bytes: int
    grown_bytes: int
    lost_events: int


def overhead_jobs(repetitions: int, seed: int) -> Iterator[OverheadJob]:
    """In each repetition every arm as often as its turns say, in an order drawn from the seed."""
    turns = [(arm.name, turn) for arm in ARMS for turn in range(1, arm.turns + 1)]
    return (OverheadJob(repetition, name, turn) for repetition, (name, turn) in shuffled(repetitions, seed, turns))


@contextmanager
def overhead_bench(qemu: Path, guest: BuiltGuest) -> Iterator[Callable[[OverheadJob], OverheadRun]]:
    """Boot two guests and stop them; yields the function that measures a job.

    For each job both guests are observed, one after the other, while the other one is not.
    """
    arms = {arm.name: arm for arm in ARMS}
    with ExitStack() as stack:
        uri = stack.enter_context(sink())
        one, other = (
            stack.enter_context(Rig(qemu, guest, FULL, network=None, more=LOCKED, name=name).source())
            for name in ("overhead-1", "overhead-2")
        )
        for source in (one, other):
            prepare(source.qmp, running=False)

        def measure(job: OverheadJob) -> OverheadRun:
            arm = arms[job.arm]
            for source in (one, other):
                set_next_mode(source.qmp, arm.mode)
            measure_guest = _measure_beside if arm.beside else _measure_observed
            return combine(job, [measure_guest(arm, one, other, uri), measure_guest(arm, other, one, uri)])

        yield measure


@dataclass(frozen=True, slots=True)
class ObservedPasses:
    """Pairs of an observed and an unobserved pass of one guest, and the cost for the collector."""

    pairs: Sequence[tuple[TimeSpent, TimeSpent]]
    collector_seconds: Sequence[float]
    peak: int
    grown: int
    lost: int

    def ratio(self, figure: Callable[[TimeSpent], float]) -> float:
        """The median ratio of the observed pass to the unobserved one."""
        return median(figure(own) / figure(base) for own, base in self.pairs)


def combine(job: OverheadJob, parts: Sequence[ObservedPasses]) -> OverheadRun:
    """Combine the passes of both guests, so that a difference between the guests themselves cancels out."""
    pairs = [pair for part in parts for pair in part.pairs]
    added = [median(own.thread_seconds - base.thread_seconds for own, base in part.pairs) for part in parts]
    pages = pairs[0][0].pages
    return OverheadRun(
        job,
        time_share=geometric_mean(part.ratio(lambda spent: spent.pass_seconds) for part in parts) - 1,
        thread_share=geometric_mean(part.ratio(lambda spent: spent.thread_seconds) for part in parts) - 1,
        added_ns=mean(added) / pages * 1e9,
        pass_seconds=median(own.pass_seconds for own, _ in pairs),
        base_pass_seconds=median(base.pass_seconds for _, base in pairs),
        pages=pages,
        collector_seconds=median(seconds for part in parts for seconds in part.collector_seconds),
        collector_bytes=max(part.peak for part in parts),
        grown_bytes=max(part.grown for part in parts),
        lost_events=sum(part.lost for part in parts),
    )


def _measure_observed(arm: OverheadArm, source: Machine, other: Machine, uri: str) -> ObservedPasses:
    """Observe one guest by a collector that records to files. The first pair of passes is not counted."""
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory, ExitStack() as stack:
        out = Path(directory) / "out"
        collector = stack.enter_context(_collector(source, arm, out))
        pairs, seconds, peaks = [], [], []
        for number in range(1 + PAIRS):
            base = one_pass(other, uri) if number % 2 else None
            before = _cpu_seconds(collector.pid)
            own = one_pass(source, uri)
            _await_end(out, number + 1)
            seconds.append(_cpu_seconds(collector.pid) - before)
            pairs.append((own, base or one_pass(other, uri)))
            peaks.append(_peak_bytes(collector.pid))
        migrations = load(out).migrations
        if arm.level is not Level.QMP and not migrations["rounds"].all():
            raise LabError(f"{arm.name}: the collector recorded no round")
        lost = int(migrations["lost_events"].sum())
        return ObservedPasses(pairs[1:], seconds[1:], peaks[-1], peaks[-1] - peaks[0], lost)


def _measure_beside(arm: OverheadArm, source: Machine, other: Machine, uri: str) -> ObservedPasses:
    """Measure one guest while a collector observes the other one. The probes lie on the executable of both."""
    command = [sys.executable, "-m", "fakedirty.lab.bench.second_collector", str(other.pid), str(arm.level)]
    pairs, seconds, peaks = [], [], []
    for number in range(1 + PAIRS):
        base = one_pass(source, uri) if number % 2 else None
        with _attached(command) as collector:
            before = _cpu_seconds(collector.pid)
            own = one_pass(source, uri)
            seconds.append(_cpu_seconds(collector.pid) - before)
            peaks.append(_peak_bytes(collector.pid))
        pairs.append((own, base or one_pass(source, uri)))
    return ObservedPasses(pairs[1:], seconds[1:], max(peaks), 0, 0)


def _collector(source: Machine, arm: OverheadArm, out: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start ``fakedirty observe``, and wait until it is attached."""
    command = [sys.executable, "-m", "fakedirty.cli.main", "observe", "--pid", str(source.pid), "--json"]
    command += ["--level", str(arm.level), "--qmp", str(source.observer_socket), "--out", str(out), *arm.more]
    return _attached(command)


@contextmanager
def _attached(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a collector as a process, and wait until it is attached; it is ended after the ``with`` block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        deadline = time.monotonic() + ATTACH_SECONDS
        lines: list[str] = []
        while not any(line.startswith("attached") for line in lines):
            lines.append(process.stderr.readline())
            if not lines[-1] or time.monotonic() > deadline:
                raise LabError(f"the collector did not attach: {''.join(lines).strip()}")
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(END_SECONDS)
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def _await_end(out: Path, migrations: int) -> None:
    """Wait until the collector has recorded so many migrations completely."""
    deadline = time.monotonic() + END_SECONDS
    while len(list(out.glob("*/*/migration.json"))) < migrations or list(out.glob("*/*.partial")):
        if time.monotonic() > deadline:
            raise LabError(f"the collector did not end its recording within {END_SECONDS:g} s")
        time.sleep(0.02)


def _cpu_seconds(pid: int, proc: Path = Path("/proc")) -> float:
    """CPU seconds of all threads of a process so far. The kernel counts them; those in /proc/PID/stat are sampled."""
    tasks = (proc / str(pid) / "task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _peak_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """The largest resident memory of a process so far, in bytes."""
    for line in (proc / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise LabError(f"/proc/{pid}/status has no VmHWM")

"""The overhead benchmark: what being observed costs a migration at full speed, and what it costs the collector."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.model.words import Level
from fakedirty.qmp.mode import MODE
from fakedirty.record.load import load

from .bench import Bench
from .full_speed import FULL, LOCKED, one_pass, prepare, sink
from .guest import BuiltGuest
from .machine import Machine

ATTACH_SECONDS = 60.0
END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OverheadArm:
    """A way of being observed: no `level` is none. `base` is the arm that it is compared with."""

    name: str
    mode: str
    level: Level | None = None
    more: tuple[str, ...] = ()
    base: str = ""


ARMS = (
    OverheadArm("none, mode observe", "observe"),
    OverheadArm("patched", "observe", Level.PATCHED, base="none, mode observe"),
    OverheadArm("patched, pages", "observe", Level.PATCHED, ("--pages",), base="none, mode observe"),
    OverheadArm("none, mode off", "off"),
    OverheadArm("qmp", "off", Level.QMP, base="none, mode off"),
    OverheadArm("usdt", "off", Level.USDT, base="none, mode off"),
    OverheadArm("usdt, pages", "off", Level.USDT, ("--pages",), base="none, mode off"),
    OverheadArm("stock", "off", Level.STOCK, base="none, mode off"),
    OverheadArm("stock, pages", "off", Level.STOCK, ("--pages",), base="none, mode off"),
    OverheadArm("stock, 1/16", "off", Level.STOCK, ("--sample", "1/16"), base="none, mode off"),
)


@dataclass(frozen=True, slots=True)
class OverheadJob:
    """One migration of the benchmark."""

    repetition: int
    arm: str


@dataclass(frozen=True, slots=True)
class Overhead:
    """What it took: the migration thread as in :class:`Spent`; the collector's CPU time while the migration ran, and
    its largest resident memory (0 where there is none); events that were lost.
    """

    job: OverheadJob
    pass_seconds: float
    thread_seconds: float
    pages: int
    collector_seconds: float
    collector_bytes: int
    lost_events: int

    @property
    def thread_ns_per_page(self) -> float:
        """CPU time of the migration thread, in nanoseconds."""
        return self.thread_seconds / self.pages * 1e9


def overhead_jobs(repetitions: int, seed: int) -> Iterator[OverheadJob]:
    """In each repetition every arm once, in an order drawn from the seed."""
    chance = random.Random(seed)
    for repetition in range(1, repetitions + 1):
        order = [arm.name for arm in ARMS]
        chance.shuffle(order)
        yield from (OverheadJob(repetition, name) for name in order)


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
            if arm.level is None:
                spent = one_pass(source, uri)
                return Overhead(job, spent.pass_seconds, spent.thread_seconds, spent.pages, 0.0, 0, 0)
            return _observed(job, arm.level, arm.more, source, uri)

        for mode in ("off", "observe"):
            source.qmp.execute("migrate-set-parameters", {MODE: mode})
            one_pass(source, uri)
        yield measure


def _observed(job: OverheadJob, level: Level, more: tuple[str, ...], source: Machine, uri: str) -> Overhead:
    """A pass, observed by a collector in a process of its own, that records to files."""
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory, ExitStack() as stack:
        out = Path(directory) / "out"
        collector = stack.enter_context(_collector(source, level, out, more))
        before = _cpu_seconds(collector.pid)
        spent = one_pass(source, uri)
        _await_end(out)
        seconds, peak = _cpu_seconds(collector.pid) - before, _peak_bytes(collector.pid)
        migrations = load(out).migrations
        lost = int(migrations["lost_events"].sum())
        if level is not Level.QMP and not migrations["rounds"].sum():
            raise LabError(f"{job.arm}: the collector saw no round")
        return Overhead(job, spent.pass_seconds, spent.thread_seconds, spent.pages, seconds, peak, lost)


@contextmanager
def _collector(source: Machine, level: Level, out: Path, more: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """``fakedirty observe``, attached."""
    command = [sys.executable, "-m", "fakedirty.cli.main", "observe", "--pid", str(source.pid), "--json"]
    command += ["--level", str(level), "--qmp", str(source.observer_socket), "--out", str(out), *more]
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


def _await_end(out: Path) -> None:
    """Until the collector has written all of the migration."""
    deadline = time.monotonic() + END_SECONDS
    while not list(out.glob("*/*/migration.json")) or list(out.glob("*/*.partial")):
        if time.monotonic() > deadline:
            raise LabError(f"the collector did not end its recording within {END_SECONDS:g} s")
        time.sleep(0.02)


def _cpu_seconds(pid: int, proc: Path = Path("/proc")) -> float:
    """Time on a CPU of all threads of a process so far, in user space and in the kernel."""
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """The largest resident memory of a process so far."""
    for line in (proc / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise LabError(f"/proc/{pid}/status has no VmHWM")

"""Guests that come, move and go, and what a service still holds of them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.observe.fleet import ATTACHING
from fakedirty.service.observed_qemus import MONITOR_READERS
from migrating import pair, wait
from serving import Service

LANES = 2  # guests at a time
NAMES = 2 * LANES
SETTLING_SECONDS = 1.0
# threads that stay once they were needed: those that attach, read monitors and take steps of QEMUs at a time, the one
# that compiles, and the one that reads
POOLED = ATTACHING + MONITOR_READERS + 4 * LANES + 2


@dataclass(frozen=True)
class Held:
    """What a process holds: KiB of memory, threads, file descriptors of each kind."""

    kib: int
    threads: int
    descriptors: Counter[str]

    @property
    def in_kernel(self) -> int:
        """BPF programs, their maps, and the probes that they are attached to."""
        return sum(count for kind, count in self.descriptors.items() if "bpf" in kind or "perf_event" in kind)


def held(pid: int) -> Held:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kinds: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = os.readlink(entry)
        except FileNotFoundError:  # closed meanwhile
            continue
        if not f"{name}/".startswith("/proc/"):  # a look at processes, by who searches
            kinds[name.partition(":[")[0]] += 1
    return Held(int(status["VmRSS"].split()[0]), int(status["Threads"]), kinds)


def come_and_go(daemon: Service, directory: Path, enough: Callable[[int], bool]) -> list[Held]:
    """Guest after guest until there were `enough`; what the service held each time that none was there."""
    samples: list[Held] = []
    last: list[Held] = []
    count, threads = 0, held(daemon.process.pid).threads + POOLED

    def alone() -> bool:
        """What is still being closed goes, on a busy host within seconds; what stays is what stayed at first."""
        now = held(daemon.process.pid)
        if samples:
            settled = now.descriptors == samples[0].descriptors
        else:
            time.sleep(SETTLING_SECONDS)
            settled = now.descriptors == held(daemon.process.pid).descriptors
        if found := now.in_kernel == 0 and now.threads <= threads and settled:
            last.append(now)
        return found

    with ThreadPoolExecutor(LANES) as pool:
        while not enough(count):
            lanes = range(count, count + LANES)
            list(pool.map(lambda number: _guest(daemon, directory / str(number), number), lanes))
            count += LANES
            wait(alone)
            samples.append(last.pop())
    return samples


def _guest(daemon: Service, directory: Path, number: int) -> None:
    """Every other one has the series. Names come again: what is said of a VM that has gone is kept for an hour."""
    directory.mkdir()
    name = f"vm{number % NAMES}"
    with pair(stock_binary() if number % 2 else qemu_binary(), directory, name=name) as vm:
        daemon.wait_for(vm.source.pid)
        vm.migrate(max_bandwidth=1 << 40, downtime_limit=10_000, autostart=True)
        vm.converge()
        daemon.wait_for_recordings(name, number // NAMES + 1)


def until(seconds: float) -> Callable[[int], bool]:
    """Enough is what comes in so long a time."""
    began = time.monotonic()
    return lambda count: time.monotonic() - began > seconds

"""Two QEMUs with a guest of known pages, and an observer that runs beside a migration between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.serial_report import wait_until_ready
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine, machine
from fakedirty.model.enums import Kind, Level
from fakedirty.model.events import Event
from fakedirty.model.migration import ENDED, Migration
from fakedirty.model.round import Round
from fakedirty.model.sink import PageBatch
from fakedirty.observe.bpf.buffer_sizes import DEFAULT, BufferSizes
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer, Tap

#: Sweeps take a few milliseconds, rounds at SLOW half a second and more: every set is in every round.
WORKLOAD = Workload(fake=300, changed=200, untouched=500, pause_ms=5, memory_mib=64)
SLOW = 4 << 20  # bytes a second
CRAWL = 1 << 20  # for what takes seconds to begin
PATIENCE_SECONDS = 120


@dataclass
class Notes:
    """A sink that keeps everything, and lets a test wait for it."""

    migrations: list[Migration] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    batches: list[PageBatch] = field(default_factory=list)
    over: list[Migration] = field(default_factory=list)

    def started(self, migration: Migration) -> None:
        self.migrations.append(migration)

    def changed(self, migration: Migration, event: Event) -> None:
        assert migration is self.migrations[-1]
        self.events.append(event)

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        assert migration is self.migrations[-1]
        self.batches.append(batch)

    def ended(self, migration: Migration) -> None:
        self.over.append(migration)


@dataclass
class Pair:
    """A source that sweeps its pages, and what it takes to migrate it away."""

    source: Machine
    directory: Path
    qemu: Path
    stack: ExitStack
    workload: Workload
    more: Sequence[str] = ()  # words of both command lines
    incoming: int = 0
    destination: str = ""  # the name of its VM, made from a number if not given
    uri: str = ""  # where a destination waits

    def receive(self, *, autostart: bool = False, **parameters: Any) -> Machine:
        """A fresh destination, which keeps the guest stopped unless it is to start it; its parameters are as given."""
        self.incoming += 1
        self.uri = f"unix:{self.directory}/migration-{self.incoming}"
        arguments = build_guest("baremetal").qemu_arguments(self.workload, self.directory / f"serial-{self.incoming}")
        capabilities = self.source.qmp.execute("query-migrate-capabilities")
        name = f"destination-{self.incoming}"
        waiting = [*arguments, *self.more, *([] if autostart else ["-S"]), "-incoming", "defer"]
        destination = self.stack.enter_context(machine(self.destination or name, self.qemu, waiting))
        destination.qmp.execute("migrate-set-capabilities", capabilities=capabilities)
        destination.qmp.execute("migrate-set-parameters", _dashed(parameters))
        destination.qmp.execute("migrate-incoming", uri=self.uri)
        return destination

    def migrate(self, *, autostart: bool = False, **parameters: Any) -> None:
        """Start a migration to the destination that waits, or to a fresh one."""
        if not self.uri:
            self.receive(autostart=autostart)
        self.set(**parameters)
        once_cleaned_up(lambda: self.source.qmp.execute("migrate", uri=self.uri))
        self.uri = ""

    def set(self, **parameters: Any) -> None:
        """Set migration parameters, underscores standing for dashes."""
        self.source.qmp.execute("migrate-set-parameters", _dashed(parameters))

    def info(self) -> dict[str, Any]:
        """query-migrate of the source."""
        answer: dict[str, Any] = self.source.qmp.execute("query-migrate")
        return answer

    def wait_for_syncs(self, count: int) -> None:
        """Until so many rounds have begun."""
        wait(lambda: self.info().get("ram", {}).get("dirty-sync-count", 0) >= count)

    def converge(self) -> dict[str, Any]:
        """Lift the limits, and wait for the end."""
        self.set(max_bandwidth=1 << 40, downtime_limit=10_000)
        wait(lambda: self.info()["status"] in ENDED)
        return self.info()


def _dashed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in parameters.items()}


def capable(vm: Pair, *names: str) -> None:
    """Turn capabilities of the source on."""
    wanted = [{"capability": name, "state": True} for name in names]
    vm.source.qmp.execute("migrate-set-capabilities", capabilities=wanted)


def wait(condition: Callable[[], bool]) -> None:
    """Until a condition holds; the test's own time limit is far away, so this one says what was waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def pair(
    qemu: Path, directory: Path, name: str = "source", workload: Workload = WORKLOAD, more: Sequence[str] = ()
) -> Iterator[Pair]:
    """A source whose guest is ready."""
    with ExitStack() as stack:
        guest = build_guest("baremetal")
        serial = directory / "serial-0"
        source = stack.enter_context(machine(name, qemu, [*guest.qemu_arguments(workload, serial), *more]))
        wait_until_ready(serial, seconds=guest.guest.ready_seconds, check_alive=source.check_alive)
        yield Pair(source, directory, qemu, stack, workload, more)


@contextmanager
def observed(
    source: Machine,
    level: Level,
    sinks: Sequence[Any],
    *,
    pages: bool = False,
    tap: Tap | None = None,
    sizes: BufferSizes = DEFAULT,
    stalled: threading.Event | None = None,
) -> Iterator[Observer]:
    """An attached observer that runs in a thread until the block is left; while it is `stalled`, it reads nothing."""
    trace = LiveTrace(by_pid(source.pid), level, pages=pages, monitor=source.observer_socket, sizes=sizes)
    with running(Observer(trace, sinks, tap), stalled) as observer:
        yield observer


@contextmanager
def running(observer: Observer, stalled: threading.Event | None = None) -> Iterator[Observer]:
    """The observer, attached and at work."""
    leave = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            observer.attach()
            running = pool.submit(_run, observer, leave, stalled)
            try:
                yield observer
            finally:
                leave.set()
                running.result()
        finally:
            observer.close()


def _run(observer: Observer, leave: threading.Event, stalled: threading.Event | None) -> None:
    while stalled is not None and stalled.is_set() and not leave.is_set():
        time.sleep(0.02)
    observer.run(leave.is_set)


def check_rounds(migration: Migration) -> list[Round]:
    """From the bulk round to the switchover; those that visited all sets of WORKLOAD, whose silent pages are fake."""
    bulk, *others, last = migration.rounds
    assert (bulk.kind, last.kind) == (Kind.BULK, Kind.SWITCHOVER)
    assert bulk.fake_pages == 0
    full = [entry for entry in others if (entry.visited_pages or 0) >= WORKLOAD.fake + WORKLOAD.changed]
    assert full
    assert all((entry.fake_pages or 0) >= WORKLOAD.fake for entry in full)
    return full

"""Passes at full speed: all pages of a guest, once, to a sink on loopback, and what that took the migration thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import ENDED, PAUSED, UNLIMITED
from fakedirty.lab.treatments import CHANNELS
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.parameters import MODE, SET, SWITCHOVER

CHANNEL_THREADS = "mig/src/send_"  # and the number of the channel
MIGRATION_THREADS = ("mig/src/main", "live_migration")  # its name over the versions of QEMU, with debug-threads=on
PASS_SECONDS = 60.0  # the longest that a pass may take
CONSIDERED_SECONDS = 2.0  # for which pages that are all fake are counted
SINK_BYTES = 1 << 20

#: Memory that stays where it is: a page that the host took away in between would cost more than all of this.
LOCKED = ("-overcommit", "mem-lock=on")

#: 2 GiB of pages that no zero detection shortens, of a guest that is stopped: one pass, the same each time.
FULL = Workload(untouched=524_288, memory_mib=2304)

#: As many, all rewritten with what they hold, without a pause.
ALL_FAKE = Workload(fake=524_288, pause_ms=0, memory_mib=2304)


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Seconds that so many pages took, and those on a CPU of the migration thread and of all channels of multifd."""

    pass_seconds: float
    thread_seconds: float
    pages: int
    channel_seconds: float = 0.0


def prepare(qmp: Qmp, *, running: bool) -> None:
    """A migration that stops before it switches over: when nothing is left, or, of a guest at work, not at all."""
    capabilities = [{"capability": name, "state": True} for name in ("events", "pause-before-switchover")]
    qmp.execute("migrate-set-capabilities", capabilities=capabilities)
    qmp.execute("migrate-set-parameters", {"max-bandwidth": UNLIMITED, "downtime-limit": 0})
    if running:
        qmp.execute("migrate-set-parameters", {"downtime-limit": 1, SWITCHOVER: False})  # 0 ends it after round 1
    qmp.execute("stop")


def take_mode(qmp: Qmp, mode: str) -> None:
    """Set the mode of the next pass; the one before was cancelled a moment ago."""
    once_cleaned_up(lambda: qmp.execute(SET, {MODE: mode}))


def take_channels(qmp: Qmp, channels: int) -> None:
    """Let the next passes go over so many channels of multifd; 0: without it."""
    capabilities = [{"capability": "multifd", "state": channels > 0}]
    once_cleaned_up(lambda: qmp.execute("migrate-set-capabilities", capabilities=capabilities))
    if channels:
        qmp.execute(SET, {CHANNELS: channels})


def one_pass(source: Machine, uri: str) -> TimeSpent:
    """Send everything once."""
    start = _start(source.qmp, uri)
    await_state(source.qmp, PAUSED)
    passed, thread, channels = time.monotonic() - start, thread_seconds(source), channel_seconds(source)
    ram = source.qmp.execute("query-migrate")["ram"]
    cancel(source.qmp)
    return TimeSpent(passed, thread, ram["normal"] + ram["duplicate"], channels)


def later_rounds(source: Machine, uri: str) -> TimeSpent:
    """Watch the rounds after the first one for a while."""
    skip_on_the_run(source, uri)
    begin = _considered(source)
    time.sleep(CONSIDERED_SECONDS)
    end = _considered(source)
    cancel(source.qmp)
    source.qmp.execute("stop")
    seconds, thread, pages = (after - before for before, after in zip(begin, end, strict=True))
    return TimeSpent(seconds, thread, int(pages))


def skip_on_the_run(source: Machine, uri: str) -> None:
    """Let the guest run, and start; until the first pages were skipped, which is in the round after the first one."""
    source.qmp.execute("cont")
    _start(source.qmp, uri)
    deadline = time.monotonic() + PASS_SECONDS
    while source.qmp.execute("query-migrate").get("fake-dirty", {}).get("skipped", 0) == 0:
        if time.monotonic() > deadline:
            raise LabError(f"no page was skipped within {PASS_SECONDS:g} s")
        time.sleep(0.05)


def _considered(source: Machine) -> tuple[float, float, int]:
    """Now, the time of the migration thread, and pages skipped: told once an iteration, so that it is late by one."""
    skipped: int = source.qmp.execute("query-migrate")["fake-dirty"]["skipped"]
    return time.monotonic(), thread_seconds(source), skipped


def _start(qmp: Qmp, uri: str) -> float:
    qmp.drain_events()

    def start() -> float:
        began = time.monotonic()
        qmp.execute("migrate", uri=uri)
        return began

    return once_cleaned_up(start)  # the one before was cancelled a moment ago


def await_state(qmp: Qmp, wanted: str) -> None:
    """Wait until the migration is in that state. LabError if it ends instead, or takes too long."""
    deadline = time.monotonic() + PASS_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        event = qmp.wait_event(("MIGRATION",), left)
        state = event["data"]["status"] if event else ""
        if state == wanted:
            return
        if state in ENDED:
            info = qmp.execute("query-migrate")
            raise LabError(f"the migration is {state}, not {wanted}: {info.get('error-desc', 'no reason given')}")
    raise LabError(f"the migration did not get to {wanted} within {PASS_SECONDS:g} s")


def cancel(qmp: Qmp) -> None:
    """End the pass."""
    qmp.execute("migrate_cancel")
    deadline = time.monotonic() + PASS_SECONDS
    while qmp.execute("query-migrate")["status"] != "cancelled":
        if time.monotonic() > deadline:
            raise LabError(f"the migration was not cancelled within {PASS_SECONDS:g} s")
        time.sleep(0.01)


@contextmanager
def sink() -> Iterator[str]:
    """Where a migration goes that is to arrive nowhere: its URI. What it sends is not even copied."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_swallow, args=(server,), daemon=True)
        thread.start()
        try:
            yield f"tcp:127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _swallow(server: socket.socket) -> None:
    while True:
        try:
            connection, _address = server.accept()
        except OSError:  # it was shut down
            return
        threading.Thread(target=_swallow_all, args=(connection,), daemon=True).start()


def _swallow_all(connection: socket.socket) -> None:
    buffer = bytearray(SINK_BYTES)
    with connection, suppress(ConnectionResetError):  # of a migration that was cancelled
        while connection.recv_into(buffer, SINK_BYTES, socket.MSG_TRUNC):
            pass


def thread_seconds(source: Machine, proc: Path = Path("/proc")) -> float:
    """Time on a CPU of the migration thread so far (/proc/PID/task/TID/schedstat)."""
    for name, seconds in _threads(source, proc):
        if name in MIGRATION_THREADS:
            return seconds
    raise LabError(f"{source.name} has no migration thread: it is over, or has another name than {MIGRATION_THREADS}")


def channel_seconds(source: Machine, proc: Path = Path("/proc")) -> float:
    """The same of all channels of multifd together; 0 where there is none."""
    return sum(seconds for name, seconds in _threads(source, proc) if name.startswith(CHANNEL_THREADS))


def _threads(source: Machine, proc: Path) -> Iterator[tuple[str, float]]:
    """The threads that there are: the name of each, and its time on a CPU."""
    for task in (proc / str(source.pid) / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            yield (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]) / 1e9

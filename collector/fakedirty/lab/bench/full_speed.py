"""Passes at full speed: all pages of a guest are sent once, to a sink on loopback, and CPU time is measured."""

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

CHANNEL_THREADS = "mig/src/send_"  # followed by the number of the channel
MIGRATION_THREADS = ("mig/src/main", "live_migration")  # its names in the versions of QEMU, with debug-threads=on
PASS_SECONDS = 60.0  # the longest that a pass may take
LATER_SECONDS = 2.0  # how long later rounds are measured
SINK_BYTES = 1 << 20

#: Memory that the host does not take away: to get a page back would cost more than a whole measurement.
LOCKED = ("-overcommit", "mem-lock=on")

#: 2 GiB of pages that are not zero, in a stopped guest, so that every pass is the same.
FULL = Workload(untouched=524_288, memory_mib=2304)

#: As many pages, all rewritten with their own content, without a pause.
ALL_FAKE = Workload(fake=524_288, pause_ms=0, memory_mib=2304)


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """The time for `pages` pages: elapsed seconds, and CPU seconds of the migration thread and of all channels."""

    pass_seconds: float
    thread_seconds: float
    pages: int
    channel_seconds: float = 0.0


def prepare(qmp: Qmp, *, running: bool) -> None:
    """Set up migrations that pause before the switchover, and stop the guest.

    Args:
        qmp: of the source.
        running: whether the guest is to run while it is migrated: then no migration reaches the switchover.
    """
    capabilities = [{"capability": name, "state": True} for name in ("events", "pause-before-switchover")]
    qmp.execute("migrate-set-capabilities", capabilities=capabilities)
    qmp.execute("migrate-set-parameters", {"max-bandwidth": UNLIMITED, "downtime-limit": 0})
    if running:
        qmp.execute("migrate-set-parameters", {"downtime-limit": 1, SWITCHOVER: False})  # 0 ends it after round 1
    qmp.execute("stop")


def set_next_mode(qmp: Qmp, mode: str) -> None:
    """Set the mode of the next pass, once the previous pass, which was cancelled, is cleaned up."""
    once_cleaned_up(lambda: qmp.execute(SET, {MODE: mode}))


def set_channels(qmp: Qmp, channels: int) -> None:
    """Set how many channels of multifd the next passes use; 0: without it."""
    capabilities = [{"capability": "multifd", "state": channels > 0}]
    once_cleaned_up(lambda: qmp.execute("migrate-set-capabilities", capabilities=capabilities))
    if channels:
        qmp.execute(SET, {CHANNELS: channels})


def one_pass(source: Machine, uri: str) -> TimeSpent:
    """Send all pages once, to `uri`."""
    start = _start(source.qmp, uri)
    await_state(source.qmp, PAUSED)
    elapsed, thread, channels = time.monotonic() - start, thread_seconds(source), channel_seconds(source)
    ram = source.qmp.execute("query-migrate")["ram"]
    cancel(source.qmp)
    return TimeSpent(elapsed, thread, ram["normal"] + ram["duplicate"], channels)


def later_rounds(source: Machine, uri: str) -> TimeSpent:
    """Measure the rounds after the first one for LATER_SECONDS. All pages are fake."""
    start_skipping(source, uri)
    begin = _progress(source)
    time.sleep(LATER_SECONDS)
    end = _progress(source)
    cancel(source.qmp)
    source.qmp.execute("stop")
    seconds, thread, pages = (after - before for before, after in zip(begin, end, strict=True))
    return TimeSpent(seconds, thread, int(pages))


def start_skipping(source: Machine, uri: str) -> None:
    """Let the guest run, start the migration, and wait for the first skipped pages, which are in round 2."""
    source.qmp.execute("cont")
    _start(source.qmp, uri)
    deadline = time.monotonic() + PASS_SECONDS
    while source.qmp.execute("query-migrate").get("fake-dirty", {}).get("skipped", 0) == 0:
        if time.monotonic() > deadline:
            raise LabError(f"no page was skipped within {PASS_SECONDS:g} s")
        time.sleep(0.05)


def _progress(source: Machine) -> tuple[float, float, int]:
    """The time, the CPU time of the migration thread, and the skipped pages as of its previous iteration."""
    skipped: int = source.qmp.execute("query-migrate")["fake-dirty"]["skipped"]
    return time.monotonic(), thread_seconds(source), skipped


def _start(qmp: Qmp, uri: str) -> float:
    qmp.drain_events()

    def start() -> float:
        start_time = time.monotonic()
        qmp.execute("migrate", uri=uri)
        return start_time

    return once_cleaned_up(start)  # the previous migration, which was cancelled


def await_state(qmp: Qmp, expected: str) -> None:
    """Wait until the migration is in state `expected`; LabError if it ends instead, or takes too long."""
    deadline = time.monotonic() + PASS_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        event = qmp.wait_event(("MIGRATION",), left)
        state = event["data"]["status"] if event else ""
        if state == expected:
            return
        if state in ENDED:
            info = qmp.execute("query-migrate")
            raise LabError(f"the migration is {state}, not {expected}: {info.get('error-desc', 'no reason given')}")
    raise LabError(f"the migration did not get to {expected} within {PASS_SECONDS:g} s")


def cancel(qmp: Qmp) -> None:
    """Cancel the migration, and wait until it is cancelled."""
    qmp.execute("migrate_cancel")
    deadline = time.monotonic() + PASS_SECONDS
    while qmp.execute("query-migrate")["status"] != "cancelled":
        if time.monotonic() > deadline:
            raise LabError(f"the migration was not cancelled within {PASS_SECONDS:g} s")
        time.sleep(0.01)


@contextmanager
def sink() -> Iterator[str]:
    """Listen for migrations that have no destination; yields the URI. The kernel drops all data without a copy."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_accept, args=(server,), daemon=True)
        thread.start()
        try:
            yield f"tcp:127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(server: socket.socket) -> None:
    while True:
        try:
            connection, _address = server.accept()
        except OSError:  # the socket was shut down
            return
        threading.Thread(target=_drop_data, args=(connection,), daemon=True).start()


def _drop_data(connection: socket.socket) -> None:
    buffer = bytearray(SINK_BYTES)
    with connection, suppress(ConnectionResetError):  # the migration was cancelled
        while connection.recv_into(buffer, SINK_BYTES, socket.MSG_TRUNC):
            pass


def thread_seconds(source: Machine, proc: Path = Path("/proc")) -> float:
    """CPU seconds of the migration thread so far (/proc/PID/task/TID/schedstat); LabError if there is none."""
    for name, seconds in _threads(source, proc):
        if name in MIGRATION_THREADS:
            return seconds
    raise LabError(
        f"{source.name} has no migration thread: the migration is over, or its name is not in {MIGRATION_THREADS}"
    )


def channel_seconds(source: Machine, proc: Path = Path("/proc")) -> float:
    """CPU seconds of all channels of multifd so far; 0 without multifd."""
    return sum(seconds for name, seconds in _threads(source, proc) if name.startswith(CHANNEL_THREADS))


def _threads(source: Machine, proc: Path) -> Iterator[tuple[str, float]]:
    """The name of each thread, and its CPU seconds."""
    for task in (proc / str(source.pid) / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            yield (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]) / 1e9

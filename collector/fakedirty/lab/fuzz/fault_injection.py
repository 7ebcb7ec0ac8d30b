"""Breaks a fuzzed migration, as its plan says, and mends it or looks whether the guest runs on at the source."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from fakedirty.errors import LabError
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import ENDED, PAUSED, PORT, POSTCOPY
from fakedirty.lab.migration_thread import waits_to_send
from fakedirty.lab.tcp_connections import connections, shut
from fakedirty.qmp.client import Qmp, QmpRefusedError

from .coverage import BULK, LATER, SWITCHOVER
from .faults import ALL, FULL, IN_POSTCOPY, KILLED, KILLED_IN_POSTCOPY, KILLED_IN_STOP, Fault
from .small_sockets import small_buffers

RUNS_ON_SECONDS = 20.0  # an ended migration lets the guest run again when its thread is done
MENDED_SECONDS = 60.0  # generous: a loaded machine takes its time to see that a link is gone
POLL_SECONDS = 0.02
BROKEN, MENDED, ARRIVED = "postcopy-paused", "and mended", "when everything had arrived"
FAILED, STRANDED = "and the guest ran on at the source", "and the guest runs nowhere"
MIDDLE_BYTES = 60_000  # of postcopy, before which the destination is killed; all of it is more, unless little was left
UNLIMITED = resource.RLIM_INFINITY


class ArrivedError(LabError):
    """The link broke when the destination had everything: it completes, and the source stays paused."""


class StrandedError(LabError):
    """The destination was killed in postcopy: the source stays paused, and the guest is lost."""


class FaultInjection:
    """One break between two machines. `met` is what happened and when, nothing if the migration was over before."""

    def __init__(self, plan: Fault, source: Machine, destination: Machine, file_bytes: int) -> None:
        """A file of `file_bytes` takes the whole guest."""
        self._plan = plan
        self._file_bytes = file_bytes
        self._source = source
        self._destination = destination
        self.met: tuple[str, str] | None = None

    def take(self, qmp: Qmp) -> None:
        """Break it, unless it is over, or there is nothing to break yet.

        ArrivedError or StrandedError if nothing can be mended.
        """
        info = qmp.execute("query-migrate")
        if info["status"] in ENDED:
            return
        if self._plan.how == IN_POSTCOPY:
            self.met = (self._plan.how, MENDED) if self._break_in_postcopy() else None
            return
        if self._plan.how == KILLED_IN_POSTCOPY:
            self._kill_in_postcopy(qmp)
            return
        if self._plan.how == KILLED_IN_STOP:
            self._kill_in_stop(qmp)
            return
        moment = BULK if info.get("ram", {}).get("dirty-sync-count", 0) <= 1 else LATER
        if self._break(qmp):
            self.met = self._plan.how, SWITCHOVER if info["status"] == PAUSED else moment

    def broke(self, status: str) -> bool:
        """Whether it was broken, and not only to be: a file that may not grow may be as large as it has to be."""
        return self.met is not None and (self._plan.how != FULL or status == "failed")

    @contextmanager
    def around(self) -> Iterator[None]:
        """What has to be so while the migration runs, and not after it."""
        ends = [side.end for side in (self._source, self._destination) if side.end]
        with small_buffers(*ends) if self._plan.how == KILLED_IN_STOP else nullcontext():
            try:
                yield
            finally:
                if self._plan.how == FULL and self._source.process.poll() is None:
                    self._limit_files(UNLIMITED)

    def _break(self, qmp: Qmp) -> bool:
        if self._plan.how == KILLED:
            self._kill()
            return True
        if self._plan.how == FULL:
            self._limit_files(int(self._plan.which * self._file_bytes))
            return True
        if self._plan.how == ALL:
            return _all(qmp)
        channels = connections(self._source.pid, PORT)
        return bool(channels) and shut(self._source.pid, channels[int(self._plan.which * len(channels))])

    def _kill(self) -> None:
        self._destination.process.kill()
        self._destination.process.wait()

    def _kill_in_stop(self, qmp: Qmp) -> None:
        """Kill the destination when it has read nothing since the pause, and the source waits for that.

        The source answers only after that: it waits with the BQL held. If it stopped to end in pre-copy, and not for
        postcopy, the destination is killed in that pause.
        """
        info = qmp.execute("query-migrate")
        if info["status"] != PAUSED:
            return
        if "switchover" in info:  # which only a migration reports that ends in pre-copy
            self._kill()
            self.met = KILLED, SWITCHOVER
            return
        self._destination.process.send_signal(signal.SIGSTOP)
        qmp.execute("migrate-continue", state=PAUSED)
        deadline = time.monotonic() + MENDED_SECONDS
        while not waits_to_send(self._source.pid):
            self._source.check_alive()
            if time.monotonic() > deadline:
                raise LabError("the source does not wait for a destination that does not read what its devices have")
            time.sleep(POLL_SECONDS)
        self._kill()
        self.met = KILLED_IN_STOP, FAILED

    def _kill_in_postcopy(self, qmp: Qmp) -> None:
        """Kill the destination when some of postcopy was sent, unless all of it was."""
        deadline = time.monotonic() + MENDED_SECONDS
        while (info := qmp.execute("query-migrate"))["status"] == POSTCOPY:
            if info["ram"]["postcopy-bytes"] >= self._plan.which * MIDDLE_BYTES:
                break
            if time.monotonic() > deadline:
                raise LabError(f"postcopy does not go on: {info['ram']['remaining']} bytes remain")
            time.sleep(POLL_SECONDS)
        else:
            return
        self._kill()
        self.met = KILLED_IN_POSTCOPY, STRANDED
        while (state := _state(self._source)) != BROKEN:
            if time.monotonic() > deadline or state in ENDED:
                raise LabError(f"the source is {state} after its destination was killed in postcopy")
            time.sleep(POLL_SECONDS)
        raise StrandedError("the destination was killed in postcopy")

    def _limit_files(self, size: int) -> None:
        """A write at `size` bytes or beyond fails from now on, and one across it is short, as where a disk is full."""
        resource.prlimit(self._source.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))

    def _break_in_postcopy(self) -> bool:
        """Break the link and go on over another; False where all was over before."""
        source, destination = self._source, self._destination
        if not self._both(POSTCOPY):
            return False
        for channel in connections(source.pid, PORT):
            shut(source.pid, channel)
        if not self._both(BROKEN):
            return False
        assert destination.end
        uri = f"tcp:{destination.end.address}:{PORT + 1}"
        destination.qmp.execute("migrate-recover", uri=uri)
        source.qmp.execute("migrate-set-parameters", {"max-postcopy-bandwidth": 0})
        source.qmp.execute("migrate", uri=uri, resume=True)
        return True

    def _both(self, state: str) -> bool:
        """Wait for both sides to be in a state; False if the source completes instead, LabError if neither happens."""
        deadline = time.monotonic() + MENDED_SECONDS
        while (states := [_state(side) for side in (self._source, self._destination)]) != [state, state]:
            if states[0] == "completed":
                return False
            if states == [BROKEN, "completed"]:
                self.met = self._plan.how, ARRIVED
                raise ArrivedError("everything had arrived when the link broke")
            if time.monotonic() > deadline:
                info = self._source.qmp.execute("query-migrate")
                raise LabError(
                    f"not {state} on both sides within {MENDED_SECONDS:.0f} s, but {' and '.join(states)}: "
                    f"{info.get('ram', {}).get('remaining')} bytes remain, error: {info.get('error-desc', 'none')}"
                )
            time.sleep(POLL_SECONDS)
        return True


def _state(side: Machine) -> str:
    side.check_alive()
    return str(side.qmp.execute("query-migrate").get("status", "none"))


def _all(qmp: Qmp) -> bool:
    """Shut all channels down; False where the migration was over."""
    try:
        qmp.execute("yank", instances=[{"type": "migration"}])
    except QmpRefusedError:
        if qmp.execute("query-migrate")["status"] not in ENDED:
            raise
        return False
    return True


def check_runs_on(source: Machine) -> Sequence[str]:
    """What is wrong if the guest does not run on at the source after a migration that came to nothing."""
    deadline = time.monotonic() + RUNS_ON_SECONDS
    while (status := source.qmp.execute("query-status")["status"]) != "running":
        source.check_alive()
        if time.monotonic() > deadline:
            return [f"the guest does not run on at the source: it is {status}"]
        time.sleep(POLL_SECONDS)
    return []

"""Injects the fault of a plan into a migration, and mends the link or checks that the guest runs on at the source."""

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
from .plans.faults import (
    ALL_CHANNELS,
    DISK_FULL,
    KILLED,
    KILLED_IN_POSTCOPY,
    KILLED_IN_STOP,
    LINK_IN_POSTCOPY,
    Fault,
)
from .small_sockets import small_buffers

RUNS_ON_SECONDS = 20.0  # the guest runs again once the thread of the ended migration is done
MENDED_SECONDS = 60.0  # generous: a loaded host takes its time to notice that a link is gone
POLL_SECONDS = 0.02
POSTCOPY_PAUSED = "postcopy-paused"
MENDED, ARRIVED = "and mended", "when everything had arrived"
FAILED, STRANDED = "and the guest ran on at the source", "and the guest runs nowhere"
MIDDLE_BYTES = 60_000  # of postcopy: the destination is killed before so many are sent; most postcopies send more
UNLIMITED = resource.RLIM_INFINITY


class ArrivedError(LabError):
    """The link broke when everything had arrived: the destination completes, and the source stays paused."""


class StrandedError(LabError):
    """The destination was killed in postcopy: the source stays paused, and the guest is lost."""


class FaultInjection:
    """One fault between two machines.

    `outcome` has the fault and its moment or what came of it; None if the migration was over before.
    """

    def __init__(self, fault: Fault, source: Machine, destination: Machine, file_bytes: int) -> None:
        """Prepare the fault.

        Args:
            fault: what breaks.
            source: of the migration.
            destination: of the migration.
            file_bytes: the size of a file that takes the whole guest.
        """
        self._fault = fault
        self._file_bytes = file_bytes
        self._source = source
        self._destination = destination
        self.outcome: tuple[str, str] | None = None

    def inject(self, qmp: Qmp) -> None:
        """Inject the fault, unless the migration is over, or has no connection yet.

        Raises:
            ArrivedError: the link broke in postcopy when everything had arrived.
            StrandedError: the destination was killed in postcopy.
        """
        info = qmp.execute("query-migrate")
        if info["status"] in ENDED:
            return
        if self._fault.how == LINK_IN_POSTCOPY:
            self.outcome = (self._fault.how, MENDED) if self._break_in_postcopy() else None
            return
        if self._fault.how == KILLED_IN_POSTCOPY:
            self._kill_in_postcopy(qmp)
            return
        if self._fault.how == KILLED_IN_STOP:
            self._kill_in_stop(qmp)
            return
        moment = BULK if info.get("ram", {}).get("dirty-sync-count", 0) <= 1 else LATER
        if self._break(qmp):
            self.outcome = self._fault.how, SWITCHOVER if info["status"] == PAUSED else moment

    def took_effect(self, status: str) -> bool:
        """Whether the fault broke something, in a migration that ended with `status`.

        A file that may not grow any more may be as large as it has to be.
        """
        return self.outcome is not None and (self._fault.how != DISK_FULL or status == "failed")

    @contextmanager
    def around(self) -> Iterator[None]:
        """The settings of the host that the fault needs, while the migration runs."""
        ends = [side.end for side in (self._source, self._destination) if side.end]
        with small_buffers(*ends) if self._fault.how == KILLED_IN_STOP else nullcontext():
            try:
                yield
            finally:
                if self._fault.how == DISK_FULL and self._source.process.poll() is None:
                    self._limit_files(UNLIMITED)

    def _break(self, qmp: Qmp) -> bool:
        """Break the migration; False if there was nothing to break."""
        if self._fault.how == KILLED:
            self._kill()
            return True
        if self._fault.how == DISK_FULL:
            self._limit_files(int(self._fault.which * self._file_bytes))
            return True
        if self._fault.how == ALL_CHANNELS:
            return _shut_all(qmp)
        channels = connections(self._source.pid, PORT)
        return bool(channels) and shut(self._source.pid, channels[int(self._fault.which * len(channels))])

    def _kill(self) -> None:
        self._destination.process.kill()
        self._destination.process.wait()

    def _kill_in_stop(self, qmp: Qmp) -> None:
        """Kill the destination while the source waits for it to read, in the stop for postcopy.

        The destination is stopped at the pause, so that it reads nothing. Until it is killed the source answers no
        command: it waits with the BQL held. If the pause is that before an end in pre-copy, the destination is killed
        in it.
        """
        info = qmp.execute("query-migrate")
        if info["status"] != PAUSED:
            return
        if "switchover" in info:  # only a migration that ends in pre-copy reports it
            self._kill()
            self.outcome = KILLED, SWITCHOVER
            return
        self._destination.process.send_signal(signal.SIGSTOP)
        qmp.execute("migrate-continue", state=PAUSED)
        deadline = time.monotonic() + MENDED_SECONDS
        while not waits_to_send(self._source.pid):
            self._source.check_alive()
            if time.monotonic() > deadline:
                raise LabError("the source does not wait for a destination that does not read the state of its devices")
            time.sleep(POLL_SECONDS)
        self._kill()
        self.outcome = KILLED_IN_STOP, FAILED

    def _kill_in_postcopy(self, qmp: Qmp) -> None:
        """Kill the destination when part of postcopy was sent; nothing is done if all of it was."""
        deadline = time.monotonic() + MENDED_SECONDS
        while (info := qmp.execute("query-migrate"))["status"] == POSTCOPY:
            if info["ram"]["postcopy-bytes"] >= self._fault.which * MIDDLE_BYTES:
                break
            if time.monotonic() > deadline:
                raise LabError(f"postcopy does not go on: {info['ram']['remaining']} bytes remain")
            time.sleep(POLL_SECONDS)
        else:
            return
        self._kill()
        self.outcome = KILLED_IN_POSTCOPY, STRANDED
        while (state := _state(self._source)) != POSTCOPY_PAUSED:
            if time.monotonic() > deadline or state in ENDED:
                raise LabError(f"the source is {state} after its destination was killed in postcopy")
            time.sleep(POLL_SECONDS)
        raise StrandedError("the destination was killed in postcopy")

    def _limit_files(self, size: int) -> None:
        """Limit files of the source to `size` bytes. As on a full disk, a write beyond fails, one across is short."""
        resource.prlimit(self._source.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))

    def _break_in_postcopy(self) -> bool:
        """Break the link and recover over another one; False if the migration was over before."""
        source, destination = self._source, self._destination
        if not self._await_both(POSTCOPY):
            return False
        for channel in connections(source.pid, PORT):
            shut(source.pid, channel)
        if not self._await_both(POSTCOPY_PAUSED):
            return False
        assert destination.end
        uri = f"tcp:{destination.end.address}:{PORT + 1}"
        destination.qmp.execute("migrate-recover", uri=uri)
        source.qmp.execute("migrate-set-parameters", {"max-postcopy-bandwidth": 0})
        source.qmp.execute("migrate", uri=uri, resume=True)
        return True

    def _await_both(self, state: str) -> bool:
        """Wait until both sides are in `state`.

        Returns:
            False if the source completes instead.

        Raises:
            ArrivedError: the destination completes while the source is paused.
            LabError: none of this happens in time.
        """
        deadline = time.monotonic() + MENDED_SECONDS
        while (states := [_state(side) for side in (self._source, self._destination)]) != [state, state]:
            if states[0] == "completed":
                return False
            if states == [POSTCOPY_PAUSED, "completed"]:
                self.outcome = self._fault.how, ARRIVED
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


def _shut_all(qmp: Qmp) -> bool:
    """Shut all channels down; False if the migration was over."""
    try:
        qmp.execute("yank", instances=[{"type": "migration"}])
    except QmpRefusedError:
        if qmp.execute("query-migrate")["status"] not in ENDED:
            raise
        return False
    return True


def check_runs_on(source: Machine) -> Sequence[str]:
    """Check that the guest runs on at the source after a migration that failed or was cancelled.

    Returns:
        What is wrong.
    """
    deadline = time.monotonic() + RUNS_ON_SECONDS
    while (status := source.qmp.execute("query-status")["status"]) != "running":
        source.check_alive()
        if time.monotonic() > deadline:
            return [f"the guest does not run on at the source: it is {status}"]
        time.sleep(POLL_SECONDS)
    return []

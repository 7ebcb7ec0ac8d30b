"""Breaks a fuzzed migration, as its plan says, and mends it or looks whether the guest runs on at the source."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence

from fakedirty.errors import LabError
from fakedirty.qmp.client import Qmp, QmpRefusedError

from .channels import connections, shut
from .fuzz_break import ALL, FULL, IN_POSTCOPY, KILLED, Break
from .fuzz_coverage import BULK, LATER, SWITCHOVER
from .machine import Machine
from .migrate import ENDED, PAUSED, PORT, POSTCOPY

RUNS_ON_SECONDS = 20.0  # an ended migration lets the guest run again when its thread is done
MENDED_SECONDS = 60.0  # generous: a loaded machine takes its time to see that a link is gone
POLL_SECONDS = 0.02
BROKEN, MENDED, ARRIVED = "postcopy-paused", "and mended", "when everything had arrived"
UNLIMITED = resource.RLIM_INFINITY


class ArrivedError(LabError):
    """The link broke when the destination had everything: it completes, and the source stays paused."""


class Breaking:
    """One break between two machines. `met` is what happened and when, nothing if the migration was over before."""

    def __init__(self, plan: Break, source: Machine, destination: Machine, file_bytes: int) -> None:
        """A file of `file_bytes` takes the whole guest."""
        self._plan = plan
        self._file_bytes = file_bytes
        self._source = source
        self._destination = destination
        self.met: tuple[str, str] | None = None

    def take(self, qmp: Qmp) -> None:
        """Break it, unless it is over, or there is nothing to break yet. ArrivedError if nothing can be mended."""
        info = qmp.execute("query-migrate")
        if info["status"] in ENDED:
            return
        if self._plan.how == IN_POSTCOPY:
            self.met = (self._plan.how, MENDED) if self._break_in_postcopy() else None
            return
        moment = BULK if info.get("ram", {}).get("dirty-sync-count", 0) <= 1 else LATER
        if self._break(qmp):
            self.met = self._plan.how, SWITCHOVER if info["status"] == PAUSED else moment

    def broke(self, status: str) -> bool:
        """Whether it was broken, and not only to be: a file that may not grow may be as large as it has to be."""
        return self.met is not None and (self._plan.how != FULL or status == "failed")

    def lift(self) -> None:
        """Let files of the source grow again, if it lives."""
        if self._plan.how == FULL and self._source.process.poll() is None:
            self._limit_files(UNLIMITED)

    def _break(self, qmp: Qmp) -> bool:
        if self._plan.how == KILLED:
            self._destination.process.kill()
            self._destination.process.wait()
            return True
        if self._plan.how == FULL:
            self._limit_files(int(self._plan.which * self._file_bytes))
            return True
        if self._plan.how == ALL:
            return _all(qmp)
        channels = connections(self._source.pid, PORT)
        return bool(channels) and shut(self._source.pid, channels[int(self._plan.which * len(channels))])

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

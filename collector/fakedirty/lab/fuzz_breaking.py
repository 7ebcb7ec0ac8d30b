"""Breaks a fuzzed migration, as its plan says, and looks whether the guest runs on at the source afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fakedirty.qmp.client import Qmp, QmpRefusedError

from .channels import connections, shut
from .fuzz_break import ALL, KILLED, Break
from .fuzz_coverage import BULK, LATER, SWITCHOVER
from .machine import Machine
from .migrate import ENDED, PAUSED, PORT

RUNS_ON_SECONDS = 20.0  # an ended migration lets the guest run again when its thread is done
POLL_SECONDS = 0.02


class Breaking:
    """One break between two machines. `met` is what happened and when, nothing if the migration was over before."""

    def __init__(self, plan: Break, source: Machine, destination: Machine) -> None:
        self._plan = plan
        self._source = source
        self._destination = destination
        self.met: tuple[str, str] | None = None

    def take(self, qmp: Qmp) -> None:
        """Break it, unless it is over, or there is nothing to break yet."""
        info = qmp.execute("query-migrate")
        if info["status"] in ENDED:
            return
        moment = BULK if info.get("ram", {}).get("dirty-sync-count", 0) <= 1 else LATER
        if self._break(qmp):
            self.met = self._plan.how, SWITCHOVER if info["status"] == PAUSED else moment

    def _break(self, qmp: Qmp) -> bool:
        if self._plan.how == KILLED:
            self._destination.process.kill()
            self._destination.process.wait()
            return True
        if self._plan.how == ALL:
            return _all(qmp)
        channels = connections(self._source.pid, PORT)
        if channels:
            shut(self._source.pid, channels[int(self._plan.which * len(channels))])
        return bool(channels)


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

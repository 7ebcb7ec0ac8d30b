"""Detects QEMUs that query-migrate may crash, so that the command is not sent to them.

While dirty-limit is in service, QEMU's dirty_limit_ring_full_time() divides by the dirty rate of a vCPU, in whole MB/s.
With several vCPUs that write little this is a division by zero: SIGFPE, whichever client sent query-migrate. The patch
series fixes it.
"""

from __future__ import annotations

from .monitor import Monitor
from .rounds_command import history_command
from .validation import parsing_answers

CAPABILITY = "dirty-limit"
REASON = f"query-migrate may crash a QEMU that has {CAPABILITY} on and not the patch that fixes it"


def is_on(qmp: Monitor) -> bool:
    """Whether the capability is on. It cannot be changed while a migration runs."""
    with parsing_answers(qmp.path):
        return any(
            entry["capability"] == CAPABILITY and entry["state"] for entry in qmp.execute("query-migrate-capabilities")
        )


def may_crash(qmp: Monitor) -> bool:
    """Whether query-migrate may crash this QEMU now: dirty-limit is on, vCPUs run, and the patch series is missing."""
    with parsing_answers(qmp.path):
        return is_on(qmp) and history_command(qmp) is None and bool(qmp.execute("query-status")["running"])

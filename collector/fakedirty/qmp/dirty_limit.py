"""Where query-migrate may end the QEMU that it is asked of, and so is not asked.

QEMU's dirty_limit_ring_full_time divides by the dirty rate of a vCPU, in whole MB/s, while dirty-limit is in service:
several vCPUs that write little, and it ends by SIGFPE, whoever asks. The series mends that.
"""

from __future__ import annotations

from .monitor import Monitor
from .rounds_command import history_command
from .validation import understanding

CAPABILITY = "dirty-limit"
REASON = f"query-migrate may end a QEMU that has {CAPABILITY} on and not the patch that mends it"


def is_on(qmp: Monitor) -> bool:
    """Whether the capability is on. It cannot be changed while a migration runs."""
    with understanding(qmp.path):
        return any(
            entry["capability"] == CAPABILITY and entry["state"] for entry in qmp.execute("query-migrate-capabilities")
        )


def may_end(qmp: Monitor) -> bool:
    """Whether query-migrate may end this QEMU now: dirty-limit is on, vCPUs run, and the series is not there."""
    with understanding(qmp.path):
        return is_on(qmp) and history_command(qmp) is None and bool(qmp.execute("query-status")["running"])

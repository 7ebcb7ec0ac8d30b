"""QEMU's background jobs, from their start to their end."""

from __future__ import annotations

from collections.abc import Mapping

from fakedirty.qmp.client import Qmp
from migrating import wait


def outcome(qmp: Qmp, command: str, arguments: Mapping[str, object]) -> str:
    """What a job says that fails; empty where it does what it is for."""
    qmp.execute(command, {"job-id": "job", **arguments})
    states = {}

    def concluded() -> bool:
        states.update({each["id"]: each for each in qmp.execute("query-jobs")})
        return bool(states["job"]["status"] == "concluded")

    wait(concluded)
    qmp.execute("job-dismiss", id="job")
    return str(states["job"].get("error", ""))


def finish(qmp: Qmp, command: str, arguments: Mapping[str, object]) -> None:
    """A job that does what it is for."""
    said = outcome(qmp, command, arguments)
    assert not said, said

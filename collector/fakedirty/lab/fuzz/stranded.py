"""What must hold of a source whose destination was killed in postcopy: its guest runs nowhere, and QEMU goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from fakedirty.errors import LabError
from fakedirty.lab.leak_sanitizer import let_end
from fakedirty.lab.machine import Machine
from fakedirty.model.enums import Mode
from fakedirty.qmp import refusals
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.parameters import MODE, SET

from .fault_injection import BROKEN

STOPPED = "finish-migrate"  # what query-status says of a guest that is stopped for a migration
NOBODY = "Connection refused"
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02


def check_stranded(source: Machine, nowhere: str) -> list[str]:
    """What is wrong with a source in ``postcopy-paused``, `nowhere` being a URI at which nobody listens. It is ended.

    The guest may have run at the destination, so that it must never run again here. Modes are not taken any more. A
    recovery to a destination that is not there comes to nothing, and can be tried again. QEMU ends when it is to.
    """
    wrong = [*stands(source.qmp), *takes_no_mode(source.qmp)]
    for _again in range(2):
        wrong += recovers_nowhere(source.qmp, nowhere, source.check_alive) + stands(source.qmp)
    if any(event["event"] == "RESUME" for event in source.qmp.drain_events()):
        wrong.append("the guest was started again at the source, after postcopy had begun")
    let_end(source.process, source.qmp)
    if status := source.process.returncode:
        wrong.append(f"the source in {BROKEN} ended with status {status}")
    return wrong


def stands(qmp: Qmp) -> list[str]:
    """What is wrong if the guest does not stand still, in a migration that is paused."""
    states = [qmp.execute(command)["status"] for command in ("query-migrate", "query-status")]
    return [] if states == [BROKEN, STOPPED] else [f"the source is {' and '.join(states)}, and was left paused"]


def takes_no_mode(qmp: Qmp) -> list[str]:
    """What is wrong if it takes another mode than it has."""
    try:
        for mode in (Mode.OFF, Mode.SKIP):  # one of them is another one
            qmp.execute(SET, {MODE: str(mode)})
    except QmpRefusedError as error:
        return [] if refusals.switchover_decided(error) else [f"a mode was refused in {BROKEN}: {error}"]
    return [f"a mode was set in {BROKEN}"]


def recovers_nowhere(qmp: Qmp, nowhere: str, check_alive: Callable[[], object]) -> list[str]:
    """What is wrong if a recovery to nobody is not refused by the host, and the migration paused again."""
    qmp.execute("migrate", uri=nowhere, resume=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (info := qmp.execute("query-migrate"))["status"] != BROKEN:
        check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"a recovery to nobody leaves the source in {info['status']}")
        time.sleep(POLL_SECONDS)
    why = str(info.get("error-desc", "no error"))
    return [] if NOBODY in why else [f"a recovery to nobody came to nothing, and QEMU says: {why}"]

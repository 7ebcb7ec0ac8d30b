"""Checks a source whose destination was killed in postcopy: its guest must not run, and QEMU must go on."""

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

from .fault_injection import POSTCOPY_PAUSED

STOPPED = "finish-migrate"  # what query-status reports of a guest that is stopped for a migration
NO_LISTENER = "Connection refused"
RECOVERY_SECONDS = 60.0
POLL_SECONDS = 0.02


def check_stranded(source: Machine, unused_uri: str) -> list[str]:
    """Check a source in ``postcopy-paused``, and end it.

    The guest may have run at the destination, so that it must never run here again. QEMU refuses other modes. A
    recovery fails if no destination listens, and can be tried again. QEMU ends when it has to.

    Args:
        source: is ended here.
        unused_uri: of an address at which nobody listens.

    Returns:
        What is wrong.
    """
    errors = [*check_paused(source.qmp), *check_mode_refused(source.qmp)]
    for _again in range(2):
        errors += check_failed_recovery(source.qmp, unused_uri, source.check_alive) + check_paused(source.qmp)
    if any(event["event"] == "RESUME" for event in source.qmp.drain_events()):
        errors.append("the guest was started again at the source, after postcopy had begun")
    let_end(source.process, source.qmp)
    if status := source.process.returncode:
        errors.append(f"the source in {POSTCOPY_PAUSED} ended with status {status}")
    return errors


def check_paused(qmp: Qmp) -> list[str]:
    """Check that the migration is paused, and the guest stopped."""
    states = [qmp.execute(command)["status"] for command in ("query-migrate", "query-status")]
    if states == [POSTCOPY_PAUSED, STOPPED]:
        return []
    return [f"the source is {' and '.join(states)}, and was left paused"]


def check_mode_refused(qmp: Qmp) -> list[str]:
    """Check that QEMU refuses to change its mode."""
    try:
        for mode in (Mode.OFF, Mode.SKIP):  # one of them is a change
            qmp.execute(SET, {MODE: str(mode)})
    except QmpRefusedError as error:
        if refusals.switchover_decided(error):
            return []
        return [f"a mode was refused in {POSTCOPY_PAUSED}: {error}"]
    return [f"a mode was set in {POSTCOPY_PAUSED}"]


def check_failed_recovery(qmp: Qmp, unused_uri: str, check_alive: Callable[[], object]) -> list[str]:
    """Check that a recovery fails if nobody listens, for that reason, and leaves the migration paused.

    Raises:
        LabError: the migration is not paused again in time.
    """
    qmp.execute("migrate", uri=unused_uri, resume=True)
    deadline = time.monotonic() + RECOVERY_SECONDS
    while (info := qmp.execute("query-migrate"))["status"] != POSTCOPY_PAUSED:
        check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"a recovery without a destination leaves the source in {info['status']}")
        time.sleep(POLL_SECONDS)
    why = str(info.get("error-desc", "no error"))
    return [] if NO_LISTENER in why else [f"a recovery without a destination failed, and QEMU reports: {why}"]

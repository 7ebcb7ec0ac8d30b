"""Reads QEMU's final report on a migration: ``query-migrate`` after its end, and the pages left to postcopy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fakedirty.errors import QmpError

from . import dirty_limit
from .monitor import Address, Monitor
from .rounds_command import history_command, with_postcopy
from .turn import in_turns
from .validation import parsing_answers

_TRIES = 50
_PAUSE_SECONDS = 0.02  # between two turns, for other clients; short, because QEMU may be ended soon (libvirt does so)


def read(monitors: Sequence[Address], state: str) -> Mapping[str, Any]:
    """Read query-migrate from the first monitor that answers.

    QEMU sets the state of a completed migration before it has computed the times, so the command is repeated until the
    times are there. The socket is released between two tries, because it serves one client at a time.

    Args:
        monitors: the monitors of one QEMU.
        state: the last state of the migration.

    Returns:
        The answer, with ``postcopy`` of the history of rounds where that has it. Empty if no monitor answers (busy, or
        QEMU has ended), and where the command may crash QEMU, see :mod:`fakedirty.qmp.dirty_limit`.
    """
    info: Mapping[str, Any] = {}
    for _attempt in range(_TRIES):
        try:
            info = in_turns(monitors, _answer)
        except QmpError:
            break
        if info.get("status") != state or state != "completed" or info.get("total-time"):
            break
        time.sleep(_PAUSE_SECONDS)
    return info


def read_arrival(monitors: Sequence[Address]) -> Mapping[str, Any]:
    """Read query-migrate of a destination once.

    Returns:
        The answer: a state, and what the release reports of an incoming migration. Empty where the command may crash
        QEMU.

    Raises:
        QmpError: no monitor answers.
    """
    return in_turns(monitors, _answer)


def _answer(qmp: Monitor) -> Mapping[str, Any]:
    with parsing_answers(qmp.path):
        if dirty_limit.may_crash(qmp):
            return {}
        info: Mapping[str, Any] = dict(qmp.execute("query-migrate"))
        moved = info.get("ram", {}).get("postcopy-bytes")
        command = history_command(qmp) if moved else None
        return with_postcopy(info, qmp.execute(command)) if command else info

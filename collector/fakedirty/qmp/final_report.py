"""The last word of QEMU on a migration: ``query-migrate`` once it has ended, and what was left to postcopy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fakedirty.errors import QmpError

from . import dirty_limit
from .monitor import Address, Monitor
from .rounds_command import history_command, with_postcopy
from .turn import in_turns
from .validation import understanding

_TRIES = 50
_PAUSE_SECONDS = 0.02  # between two turns, which is a turn for whoever waits; QEMU may be ended soon (libvirt does)


def ask(monitors: Sequence[Address], state: str) -> Mapping[str, Any]:
    """What query-migrate says by the first monitor that answers; empty when none does (busy, or QEMU gone).

    Empty also where the question may end QEMU, see :mod:`fakedirty.qmp.dirty_limit`.

    QEMU sets the state before it has computed the times, so a completed migration is asked until it has them. The
    socket is given back between two tries: it serves one client at a time.
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


def _answer(qmp: Monitor) -> Mapping[str, Any]:
    with understanding(qmp.path):
        if dirty_limit.may_end(qmp):
            return {}
        info: Mapping[str, Any] = dict(qmp.execute("query-migrate"))
        moved = info.get("ram", {}).get("postcopy-bytes")
        command = history_command(qmp) if moved else None
        return with_postcopy(info, qmp.execute(command)) if command else info

"""The last word of QEMU on a migration: ``query-migrate`` once it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.qmp.answers import understanding
from fakedirty.qmp.monitor import Address, Monitor, connect

_TRIES = 100
_PAUSE_SECONDS = 0.01  # libvirt ends a QEMU soon after its guest has left


def ask(monitors: Sequence[Address], state: str) -> Mapping[str, Any]:
    """What query-migrate says by the first monitor that answers; empty when none does (busy, or QEMU gone).

    QEMU sets the state before it has computed the times, so a completed migration is asked until it has them.
    The socket is held only meanwhile: it serves one client at a time.
    """
    for address in monitors:
        try:
            with connect(address) as qmp, understanding(address):
                return _settled(qmp, state)
        except QmpError:
            continue
    return {}


def _settled(qmp: Monitor, state: str) -> Mapping[str, Any]:
    info: Mapping[str, Any] = {}
    for _attempt in range(_TRIES):
        info = qmp.execute("query-migrate")
        if info.get("status") != state or state != "completed" or info.get("total-time"):
            break
        time.sleep(_PAUSE_SECONDS)
    return info

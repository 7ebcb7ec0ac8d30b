"""The last word of QEMU on a migration: ``query-migrate`` once it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.qmp.answers import understanding
from fakedirty.qmp.client import Qmp

_TRIES = 20
_PAUSE_SECONDS = 0.05


def ask(paths: Sequence[Path], state: str) -> Mapping[str, Any]:
    """What query-migrate says at the first socket that answers; empty when none does (busy, or QEMU gone).

    QEMU sets the state before it has computed the times, so a completed migration is asked until it has them.
    The socket is held only meanwhile: it serves one client at a time.
    """
    for path in paths:
        try:
            with Qmp.connect(path) as qmp, understanding(path):
                return _settled(qmp, state)
        except QmpError:
            continue
    return {}


def _settled(qmp: Qmp, state: str) -> Mapping[str, Any]:
    info: Mapping[str, Any] = {}
    for _attempt in range(_TRIES):
        info = qmp.execute("query-migrate")
        if info.get("status") != state or state != "completed" or info.get("total-time"):
            break
        time.sleep(_PAUSE_SECONDS)
    return info

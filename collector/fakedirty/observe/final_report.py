"""The last word of QEMU on a migration: ``query-migrate`` once it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.qmp.client import Qmp

_TRIES = 20
_PAUSE_SECONDS = 0.05


def ask(path: Path | None, state: str) -> Mapping[str, Any]:
    """What query-migrate says; empty when nobody answers (no socket, busy, QEMU gone).

    QEMU sets the state before it has computed the times, so a completed migration is asked until it has them.
    The socket is held only meanwhile: it serves one client at a time.
    """
    if path is None:
        return {}
    info: Mapping[str, Any] = {}
    try:
        with Qmp.connect(path) as qmp:
            for _attempt in range(_TRIES):
                info = qmp.execute("query-migrate")
                if info.get("status") != state or state != "completed" or info.get("total-time"):
                    break
                time.sleep(_PAUSE_SECONDS)
    except QmpError:
        pass
    return info

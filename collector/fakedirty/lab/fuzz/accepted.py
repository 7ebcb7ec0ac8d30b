"""What a QEMU accepts together with skip, as it says itself: multifd with compressions, files, postcopy."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.parameters import MODE, SET
from fakedirty.qmp.schema import Schema

from .multifd import COMPRESSIONS
from .route import DIRECT, FILE, FORBIDDEN, POSSIBLE, POSTCOPY, PREEMPT, WITH_MULTIFD


@dataclass(frozen=True, slots=True)
class Accepted:
    """`compressions` of multifd, `ways` beside a connection; `left_out` has those not accepted, and why."""

    compressions: tuple[str, ...]
    ways: tuple[str, ...]
    left_out: tuple[str, ...]


def accepted(qmp: Qmp, directory: Path | None = None) -> Accepted:
    """Ask a QEMU that waits for a migration, and the file system of `directory`; default: that of temporary files."""
    wanted = {
        "multifd": ("multifd",),
        FILE: ("mapped-ram",),
        POSTCOPY: ("postcopy-ram",),
        PREEMPT: ("postcopy-ram", PREEMPT),
        WITH_MULTIFD: ("postcopy-ram", "multifd"),
    }
    refused = {name: _refusal(qmp, capabilities) for name, capabilities in wanted.items()}
    refused[DIRECT] = refused[FILE] or refused["multifd"] or _direct_refusal(directory or Path(tempfile.gettempdir()))
    known = Schema.of(qmp).values(SET, "multifd-compression") or ()
    compressions = () if refused["multifd"] else tuple(name for name in COMPRESSIONS if name in known)
    ways = tuple(name for name in POSSIBLE if not refused[name])
    return Accepted(compressions, ways, tuple(f"{name}: {why}" for name, why in refused.items() if why))


def forbidden() -> str:
    """What is never drawn together."""
    return ", ".join(" with ".join(pair) for pair in FORBIDDEN)


def _refusal(qmp: Qmp, capabilities: tuple[str, ...]) -> str:
    """Why QEMU does not take them together with skip; empty if it does. It is left without both."""
    qmp.execute("migrate-set-parameters", {MODE: str(Mode.OFF)})
    try:
        _switch(qmp, capabilities, on=True)
    except QmpRefusedError as error:
        return error.reason
    try:
        qmp.execute("migrate-set-parameters", {MODE: str(Mode.SKIP)})
    except QmpRefusedError as error:
        return error.reason
    finally:
        qmp.execute("migrate-set-parameters", {MODE: str(Mode.OFF)})
        _switch(qmp, capabilities, on=False)
    return ""


def _switch(qmp: Qmp, capabilities: tuple[str, ...], *, on: bool) -> None:
    states = [{"capability": name, "state": on} for name in capabilities]
    qmp.execute("migrate-set-capabilities", capabilities=states)


def _direct_refusal(directory: Path) -> str:
    """Why no file can be written there past the cache; empty if one can."""
    with tempfile.TemporaryDirectory(dir=directory) as made:
        try:
            os.close(os.open(Path(made) / "direct", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
        except OSError as error:
            return f"the file system of {directory} has no O_DIRECT: {error.strerror}"
    return ""

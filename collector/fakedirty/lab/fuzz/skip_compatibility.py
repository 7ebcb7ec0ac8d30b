"""Tries out what a QEMU accepts together with skip: multifd and its compressions, files, postcopy."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.parameters import MODE, SET
from fakedirty.qmp.schema import Schema

from .plans.multifd import COMPRESSIONS
from .plans.route import DIRECT, FILE, OPTIONAL, POSTCOPY, PREEMPT, WITH_MULTIFD


@dataclass(frozen=True, slots=True)
class SkipCompatibility:
    """The `compressions` of multifd and the `routes` that go with skip; `left_out` has the others, with the reason."""

    compressions: tuple[str, ...]
    routes: tuple[str, ...]
    left_out: tuple[str, ...]


def find_skip_compatibility(qmp: Qmp, directory: Path | None = None) -> SkipCompatibility:
    """Try each route on a QEMU that waits for an incoming migration, and multifd.

    Args:
        qmp: the connection to QEMU. Its mode is off afterwards, and all tried capabilities too.
        directory: where files would be written, whose file system must support O_DIRECT; default: that for
            temporary files.
    """
    capabilities = {
        "multifd": ("multifd",),
        FILE: ("mapped-ram",),
        POSTCOPY: ("postcopy-ram",),
        PREEMPT: ("postcopy-ram", PREEMPT),
        WITH_MULTIFD: ("postcopy-ram", "multifd"),
    }
    refusals = {name: _refusal(qmp, tried) for name, tried in capabilities.items()}
    refusals[DIRECT] = (
        refusals[FILE] or refusals["multifd"] or _direct_io_refusal(directory or Path(tempfile.gettempdir()))
    )
    known = Schema.of(qmp).values(SET, "multifd-compression") or ()
    compressions = () if refusals["multifd"] else tuple(name for name in COMPRESSIONS if name in known)
    routes = tuple(name for name in OPTIONAL if not refusals[name])
    return SkipCompatibility(compressions, routes, tuple(f"{name}: {why}" for name, why in refusals.items() if why))


def _refusal(qmp: Qmp, capabilities: tuple[str, ...]) -> str:
    """Why QEMU refuses these capabilities, or refuses them together with skip; empty if it takes both."""
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


def _direct_io_refusal(directory: Path) -> str:
    """Why no file in `directory` can be opened with O_DIRECT; empty if one can."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        try:
            os.close(os.open(Path(scratch) / "direct", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
        except OSError as error:
            return f"the file system of {directory} has no O_DIRECT: {error.strerror}"
    return ""

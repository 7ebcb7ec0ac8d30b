"""The fake dirty mode of a running QEMU: read, set and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.model.words import Mode

from .answers import understanding
from .monitor import Monitor

MODE = "fake-dirty-mode"
HASH = "fake-dirty-hash"
SWITCHOVER = "fake-dirty-switchover"


def supports(qmp: Monitor) -> bool:
    """Whether this QEMU carries the series: its schema, not its version, says so."""
    schema: list[dict[str, Any]] = qmp.execute("query-qmp-schema")
    by_name = {entry["name"]: entry for entry in schema}
    command = by_name.get("migrate-set-parameters", {})
    members = by_name.get(command.get("arg-type", ""), {}).get("members", [])
    return any(member["name"] == MODE for member in members)


def read_parameters(qmp: Monitor) -> Mapping[str, object]:
    """Those of migration, by QEMU's names."""
    with understanding(qmp.path):
        return {str(name): value for name, value in qmp.execute("query-migrate-parameters").items()}


def read_mode(qmp: Monitor) -> tuple[Mode, str]:
    """The mode and the hash as they are set now."""
    parameters = qmp.execute("query-migrate-parameters")
    if MODE not in parameters:
        raise _without_series(qmp)
    return Mode(Mode.parse(parameters[MODE])), str(parameters[HASH])


def set_mode(qmp: Monitor, mode: Mode, hash: str | None = None) -> tuple[Mode, str]:
    """Set the mode, and the hash where one is given; returns both as read back.

    A migration that runs adopts them at its next turn (its ``fake_dirty_mode`` event says when).
    """
    if not supports(qmp):
        raise _without_series(qmp)
    wanted = {MODE: str(mode)} | ({HASH: hash} if hash is not None else {})
    qmp.execute("migrate-set-parameters", wanted)
    found = read_mode(qmp)
    if found != (mode, hash or found[1]):
        raise QmpError(f"QEMU at {qmp.path} was given {wanted}, but reads back {found[0]} with {found[1]}")
    return found


def _without_series(qmp: Monitor) -> QmpError:
    return QmpError(
        f"the QEMU at {qmp.path} has no {MODE}: it was built without the fake dirty series. "
        "'fakedirty doctor' says what can be observed on it; 'fakedirty qemu build' builds one that has it"
    )

"""The fake dirty mode of a running QEMU: read, set and read back."""

from __future__ import annotations

from collections.abc import Mapping

from fakedirty.errors import QmpError
from fakedirty.model.enums import Mode

from . import refusals
from .client import QmpRefusedError
from .monitor import Monitor
from .parameters import HASH, MODE, SET
from .supported import abilities
from .validation import understanding

#: the mode, and the hash; None where QEMU has one alone, which it does not name
State = tuple[Mode, str | None]


def supports(qmp: Monitor) -> bool:
    """Whether this QEMU carries the series: its schema, not its version, says so."""
    return bool(abilities(qmp).modes)


def read_parameters(qmp: Monitor) -> Mapping[str, object]:
    """Those of migration, by QEMU's names."""
    with understanding(qmp.path):
        return {str(name): value for name, value in qmp.execute("query-migrate-parameters").items()}


def read_mode(qmp: Monitor) -> State:
    """The mode and the hash as they are set now."""
    parameters = qmp.execute("query-migrate-parameters")
    if MODE not in parameters:
        raise _without_series(qmp)
    return Mode(Mode.parse(parameters[MODE])), parameters.get(HASH)


def set_mode(qmp: Monitor, mode: Mode, hash: str | None = None) -> State:
    """Set the mode, and the hash where one is given; returns both as read back.

    A migration that runs adopts them at its next turn (its ``fake_dirty_mode`` event says when).

    Raises:
        SwitchoverDecidedError: the migration that runs takes no other mode or hash any more.
        QmpError: this QEMU has none of that, or refuses it for another reason.
    """
    has = abilities(qmp)
    if not has.modes:
        raise _without_series(qmp)
    if lacks := has.lacks(str(mode), hash):
        raise QmpError(f"the QEMU at {qmp.path} cannot be set so: {lacks}")
    wanted = {MODE: str(mode)} | ({HASH: hash} if hash is not None else {})
    try:
        qmp.execute(SET, wanted)
    except QmpRefusedError as error:
        if refusals.switchover_decided(error):
            raise refusals.SwitchoverDecidedError(SET, error.error_class, error.reason) from error
        raise
    found = read_mode(qmp)
    if found != (mode, hash or found[1]):
        raise QmpError(f"QEMU at {qmp.path} was given {wanted}, but reads back {spelled(found)}")
    return found


def spelled(state: State) -> str:
    """In words."""
    mode, hash_name = state
    return f"mode {mode}" if hash_name is None else f"mode {mode}, hash {hash_name}"


def _without_series(qmp: Monitor) -> QmpError:
    return QmpError(
        f"the QEMU at {qmp.path} has no {MODE}: it was built without the fake dirty series. "
        "'fakedirty doctor' says what can be observed on it; 'fakedirty qemu build' builds one that has it"
    )

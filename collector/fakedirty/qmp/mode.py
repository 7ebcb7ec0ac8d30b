"""Reads and sets the fake dirty mode of a running QEMU."""

from __future__ import annotations

from collections.abc import Mapping

from fakedirty.errors import QmpError
from fakedirty.model.enums import Mode

from . import refusals
from .client import QmpRefusedError
from .monitor import Monitor
from .parameters import HASH, MODE, SET
from .supported import read_support
from .validation import parsing_answers

#: the mode and the hash; the hash is None where QEMU has only one and does not name it
State = tuple[Mode, str | None]


def supports(qmp: Monitor) -> bool:
    """Whether this QEMU has the patch series, by its schema, not by its version."""
    return bool(read_support(qmp).modes)


def read_parameters(qmp: Monitor) -> Mapping[str, object]:
    """The migration parameters of a QEMU, by its own names."""
    with parsing_answers(qmp.path):
        return {str(name): value for name, value in qmp.execute("query-migrate-parameters").items()}


def read_mode(qmp: Monitor) -> State:
    """The mode and the hash that are set now.

    Raises:
        QmpError: this QEMU was built without the patch series.
    """
    parameters = qmp.execute("query-migrate-parameters")
    if MODE not in parameters:
        raise _without_series(qmp)
    return Mode(Mode.parse(parameters[MODE])), parameters.get(HASH)


def set_mode(qmp: Monitor, mode: Mode, hash: str | None = None) -> State:
    """Set the mode, and the hash where one is given.

    A running migration adopts them within its next iteration; its ``fake_dirty_mode`` event reports the moment.

    Returns:
        Mode and hash as read back.

    Raises:
        SwitchoverDecidedError: the running migration accepts no other mode or hash any more.
        QmpError: this QEMU does not have that mode or hash, or refuses it for another reason.
    """
    has = read_support(qmp)
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
        raise QmpError(f"QEMU at {qmp.path} was set to {wanted}, but reports {format_state(found)}")
    return found


def format_state(state: State) -> str:
    """Mode and hash as text.

    >>> format_state((Mode.SKIP, "xxh3-64"))
    'mode skip, hash xxh3-64'
    """
    mode, hash_name = state
    return f"mode {mode}" if hash_name is None else f"mode {mode}, hash {hash_name}"


def _without_series(qmp: Monitor) -> QmpError:
    return QmpError(
        f"the QEMU at {qmp.path} has no {MODE}: it was built without the patch series. "
        "'fakedirty doctor' shows what can be observed on it; 'fakedirty qemu build' builds one that has it"
    )

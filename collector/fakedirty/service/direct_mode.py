"""A mode that is set without the service, by QMP, and put back after a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from fakedirty.linux.socket_clients import free_first
from fakedirty.model.enums import Mode
from fakedirty.qmp.address import Address
from fakedirty.qmp.mode import State, read_mode, set_mode
from fakedirty.qmp.monitor import Monitor
from fakedirty.qmp.refusals import SwitchoverDecidedError
from fakedirty.qmp.turn import CHANGE_SECONDS, in_turns, turn

REVERT_TRIES = 20  # of a socket that other clients may use in the meantime
AGAIN_SECONDS = 0.5  # between two attempts to put back a mode while a migration does not allow a change


def set_directly(
    monitors: Sequence[Address], mode: Mode, hash_name: str | None, revert_after: float | None, stop: threading.Event
) -> Iterator[State]:
    """Set a mode, and put back the earlier one later.

    Args:
        monitors: The monitors of the QEMU; a free one is used.
        mode: The mode.
        hash_name: The content hash; None for the present one.
        revert_after: Seconds until the earlier mode is put back; None to leave the new one.
        stop: Ends the wait early.

    Yields:
        Mode and hash as QEMU reads them back: after the change, and after the revert if there is one.

    Raises:
        QmpError: No monitor can be used, or QEMU refuses the change.
    """
    with turn(free_first(monitors), CHANGE_SECONDS) as qmp:
        before = read_mode(qmp)
        after = set_mode(qmp, mode, hash_name)
    yield after
    if revert_after is None:
        return
    stop.wait(revert_after)  # the socket is free in the meantime

    def put_back(qmp: Monitor) -> State:
        now = read_mode(qmp)
        # somebody who has changed the mode since meant something else
        return set_mode(qmp, *before) if now == after else now

    yield _when_allowed(lambda: in_turns(free_first(monitors), put_back, REVERT_TRIES, CHANGE_SECONDS), stop)


def _when_allowed(change: Callable[[], State], stop: threading.Event) -> State:
    """Make a change; a migration that has decided on its switchover allows none until it is over."""
    while True:
        try:
            return change()
        except SwitchoverDecidedError:
            if stop.wait(AGAIN_SECONDS):
                raise

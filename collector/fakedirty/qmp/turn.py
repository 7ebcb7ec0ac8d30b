"""A turn at a monitor: a short connection that ends after a fixed time, whether QEMU has answered or not.

A QMP socket serves one client at a time, and whoever manages the guest needs it. QEMU serves clients in the order in
which they connected, so a client that waits is next when a turn ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from fakedirty.errors import QmpError

from .address import Address, Domain
from .monitor import Monitor, connect
from .peer import PeerError

T = TypeVar("T")

TURN_SECONDS = 0.2  # for a poll, which is repeated
TASK_SECONDS = 1.0  # for reading something once, for a user
CHANGE_SECONDS = 3.0  # for a change, which should not be interrupted
PAUSE_SECONDS = 0.05  # between two tries, for other clients
TRIES = 8


@contextmanager
def turn(addresses: Iterable[Address], seconds: float = TURN_SECONDS) -> Iterator[Monitor]:
    """Connect to the first of some monitors that answers, for `seconds` from the moment of connecting.

    The proof of the peer is part of that time. Commands after it raise QmpClosedError. A connection through libvirt has
    no such limit, because libvirt serves many clients.

    Args:
        addresses: monitors of one QEMU.
        seconds: length of the turn.

    Raises:
        PeerError: a peer answered that is not proven to be the right process.
        QmpError: no monitor answered in time.
    """
    problems: list[QmpError] = []
    for address in addresses:
        try:
            shared = isinstance(address.place, Domain)
            qmp = connect(address) if shared else connect(address, seconds, seconds, seconds)
        except QmpError as error:
            problems.append(error)
            continue
        with qmp:
            yield qmp
        return
    kind = PeerError if any(isinstance(error, PeerError) for error in problems) else QmpError
    raise kind("; ".join(map(str, problems)))


def in_turns(
    addresses: Iterable[Address], do: Callable[[Monitor], T], tries: int = TRIES, seconds: float = TURN_SECONDS
) -> T:
    """Call `do` with a connection, again and again while QEMU is late with an answer.

    A failure before the turn is over (no socket, a refused command) is raised at once, because it would happen again.

    Args:
        addresses: monitors of one QEMU.
        do: may be interrupted at the end of a turn, and called again.
        tries: most turns.
        seconds: length of a turn.

    Returns:
        The result of `do`.

    Raises:
        QmpError: the last failure.
    """
    monitors = tuple(addresses)
    while True:
        began = time.monotonic()
        tries -= 1
        try:
            with turn(monitors, seconds) as qmp:
                return do(qmp)
        except QmpError:
            if not tries or time.monotonic() - began < seconds:
                raise
        time.sleep(PAUSE_SECONDS)

"""A turn at a monitor: a connection for a moment, given back when it is over, whether QEMU has answered or not.

A QMP socket serves one client at a time, and it is there for whoever manages the guest. Who waits for it meanwhile is
next: QEMU takes clients in the order in which they came.
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

TURN_SECONDS = 0.2  # of a look that is repeated
TASK_SECONDS = 1.0  # of what is read once, because somebody wants it
CHANGE_SECONDS = 3.0  # of what is changed, which is not to be broken off without need
PAUSE_SECONDS = 0.05  # between two tries: others have their turn
TRIES = 8


@contextmanager
def turn(addresses: Iterable[Address], seconds: float = TURN_SECONDS) -> Iterator[Monitor]:
    """The first monitor that answers, for `seconds` from the moment of connecting; it is closed then.

    The proof that it is the process that is meant is part of its time. QmpError where none answers in that time, a
    PeerError where one does that is another's; QmpClosedError from commands that come too late. Libvirt's monitor is
    shared by its nature: it is connected to without such a limit.
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
    """What `do` returns, in so many turns at most while QEMU is late with an answer; the last QmpError then.

    What fails before its turn is over (no socket, a command that is refused) fails at once: it would fail again. `do`
    may be broken off and done again.
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

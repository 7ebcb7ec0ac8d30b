"""Whether a connection to a monitor may stay, so that it locks nobody out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fakedirty.qmp.clients import clients
from fakedirty.qmp.domain import Domain
from fakedirty.qmp.monitor import Address

CHECK_SECONDS = 1.0

Identity = tuple[int, int] | Path


class Staying:
    """Says at which of `monitors` a connection may stay, from one moment to the next.

    It may at libvirt's, which many clients share; where the user wants it (`hold`); and at a socket that is free while
    somebody is served, from one check to the next by the same connection, at another socket of the same QEMU (one of
    `others`, or of `monitors`): that is then the manager's, and this one a second. A manager that comes and goes has
    none, for all that can be seen, and keeps its choice.
    """

    def __init__(
        self,
        monitors: Sequence[Address],
        others: Sequence[Address] = (),
        *,
        hold: bool = False,
        table: Path = Path("/proc/net/unix"),
    ) -> None:
        self._monitors = tuple(monitors)
        self._hold = hold
        self._table = table
        self._sockets = {_identity(path): path for path in (*others, *monitors) if isinstance(path, Path)}
        for path in others:  # the kernel's table has them as QEMU was given them, and not as the user spells them
            if isinstance(path, Path):
                self._sockets[_identity(path)] = path
        self._served: Mapping[Identity, frozenset[str]] = {}
        self._checked = 0.0
        self._place: Path | None = None

    def places(self) -> tuple[Address, ...]:
        """Where a connection may stay now, the best first; empty: nowhere."""
        if self._hold:
            return self._monitors
        if isinstance(self._monitors[0], Domain):
            return self._monitors[:1]
        if len(self._sockets) > 1 and time.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = time.monotonic()
            self._place = self._check()
        return () if self._place is None else (self._place,)

    def _check(self) -> Path | None:
        before = self._served
        self._served = {name: clients(path, self._table) for name, path in self._sockets.items()}
        held = {name for name, now in self._served.items() if now & before.get(name, frozenset())}
        if self._place is not None:
            held.discard(_identity(self._place))  # by ourselves
        for each in (self._place, *reversed(self._monitors)):  # the first is what managers are given most often
            if isinstance(each, Path):
                name = _identity(each)
                ours = each == self._place
                if held - {name} and (ours or not self._served.get(name)):
                    return each
        return None


def _identity(path: Path) -> Identity:
    """Of a socket, however it is spelled."""
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino

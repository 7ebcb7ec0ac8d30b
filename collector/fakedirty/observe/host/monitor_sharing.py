"""Whether a connection to a monitor may stay, so that it locks nobody out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from fakedirty.linux.listening import listeners
from fakedirty.linux.process import Process
from fakedirty.qmp.address import Address, Domain
from fakedirty.qmp.connect import Queue, queue_of
from fakedirty.qmp.monitor_sockets import listeners_at
from fakedirty.qmp.socket_clients import clients, clients_visible

CHECK_SECONDS = 1.0


class MonitorSharing:
    """Says at which of `monitors` a connection may stay, from one moment to the next.

    It may at libvirt's, which many clients share; where the user wants it (`hold`); and at a Unix socket that is free
    while somebody is served, from one check to the next by the same connection, at another one of the same QEMU (one
    of `others`, or of `monitors`): that is then the manager's, and this one a second, until somebody waits there. A
    manager that comes and goes has none, for all that can be seen, and keeps its choice. Sockets of which nobody can
    see whom they serve are not stayed at: those of TCP, of a proxy, and of a process whose open files may not be
    read.
    """

    def __init__(self, monitors: Sequence[Address], others: Sequence[Address] = (), *, hold: bool = False) -> None:
        self._monitors = monitors  # whose order may change
        self._hold = hold
        places = [address for address in dict.fromkeys((*others, *monitors)) if clients_visible(address)]
        self._process = next((address.process for address in places if address.process is not None), None)
        self._unnamed = places if len(places) > 1 else []
        self._names: dict[Address, bytes] = {}  # as the kernel's table has them
        self._queues: dict[Address, Queue] = {}
        self._served: Mapping[bytes, frozenset[int]] = {}
        self._checked = 0.0
        self._place: Address | None = None

    def places(self) -> tuple[Address, ...]:
        """Where a connection may stay now, the best first; empty: nowhere."""
        if self._hold:
            return tuple(self._monitors)
        if isinstance(self._monitors[0].place, Domain):
            return tuple(self._monitors[:1])
        if self._process is not None and time.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = time.monotonic()
            self._place = self._check(self._process)
        return () if self._place is None else (self._place,)

    def _check(self, process: Process) -> Address | None:
        self._name(process)
        names = set(self._names.values())
        before, self._served = self._served, clients(process, names) if len(names) > 1 else {}
        held = {name for name, now in self._served.items() if now & before.get(name, frozenset())}
        waited_for = None
        if self._place is not None:
            held.discard(self._names[self._place])  # by ourselves
            waited_for = self._place if self._queues[self._place]() else None
        for each in (self._place, *reversed(self._monitors)):  # the first is what managers are given most often
            if each is not None and each != waited_for and (name := self._names.get(each)) is not None:
                ours = each == self._place
                if held - {name} and (ours or not self._served.get(name)):
                    return each
        return None

    def _name(self, process: Process) -> None:
        """Find the sockets that are not yet known: a process that has just been started binds them one by one."""
        own = listeners(process) if self._unnamed else None
        for address in tuple(self._unnamed) if own else ():
            if found := listeners_at(address.place, process, own or {}):
                self._names[address] = found[0].name
                self._queues[address] = queue_of(found[0], process)
                self._unnamed.remove(address)

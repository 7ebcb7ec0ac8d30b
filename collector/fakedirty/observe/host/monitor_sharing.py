"""Whether a connection to a monitor may be kept without locking out other clients."""

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
    """Decides at which monitor of a QEMU a connection may be kept, at any moment.

    A monitor serves one client at a time. A connection may be kept:

    - at libvirt's monitor, which many clients share;
    - at every monitor, if the user wants it (`hold`);
    - at a free Unix socket, while the same connection is served at another one of the same QEMU from one check to the
      next. That connection is the manager's, and the free socket is a second one. The connection is given up when
      another client waits at it.

    If the manager connects and leaves, no connection of it stays, and so none is kept. None is kept either at sockets
    whose clients are not visible: those of TCP, of a proxy, and of a process whose open files cannot be read.

    Args:
        monitors: the monitors that may be used, the best first. Their order may change.
        others: further monitors of the same QEMU.
        hold: the user wants that a connection is kept.
    """

    def __init__(self, monitors: Sequence[Address], others: Sequence[Address] = (), *, hold: bool = False) -> None:
        self._monitors = monitors
        self._hold = hold
        places = [address for address in dict.fromkeys((*others, *monitors)) if clients_visible(address)]
        self._process = next((address.process for address in places if address.process is not None), None)
        self._unnamed = places if len(places) > 1 else []
        self._names: dict[Address, bytes] = {}  # of sockets, in the kernel's table
        self._queues: dict[Address, Queue] = {}
        self._served: Mapping[bytes, frozenset[int]] = {}
        self._checked = 0.0
        self._place: Address | None = None

    def places(self) -> tuple[Address, ...]:
        """The monitors at which a connection may be kept now, the best first; empty: at none."""
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
            held.discard(self._names[self._place])  # held by this process itself
            waited_for = self._place if self._queues[self._place]() else None
        for each in (self._place, *reversed(self._monitors)):  # most managers are given the first monitor
            if each is not None and each != waited_for and (name := self._names.get(each)) is not None:
                ours = each == self._place
                if held - {name} and (ours or not self._served.get(name)):
                    return each
        return None

    def _name(self, process: Process) -> None:
        """Find sockets that are not known yet: a process that has just been started binds one after the other."""
        own = listeners(process) if self._unnamed else None
        for address in tuple(self._unnamed) if own else ():
            if found := listeners_at(address.place, process, own or {}):
                self._names[address] = found[0].name
                self._queues[address] = queue_of(found[0], process)
                self._unnamed.remove(address)

"""Which guest a process runs, and the value of the label ``vm`` of its series, for as long as there are series.

A guest is the processes that ran it one after the other: those with the same UUID and name, or, without a UUID, those
with the same name that were never there at the same time. So counters go on when a guest comes back, and counters of
two guests are never added up, whatever their names are. The first guest of a name has it as its label; others of that
name have their process id in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fakedirty.model.vm_names import encodable


@dataclass(frozen=True, slots=True)
class Process:
    """A QEMU process: `identity` is its process id and start time, empty if unknown; the name identifies it then."""

    identity: str
    name: str
    uuid: str = ""

    @property
    def key(self) -> str:
        """A key that no other process has."""
        return f"process {self.identity}" if self.identity else f"name {self.name}"

    @property
    def pid(self) -> str:
        return self.identity.partition(" ")[0]


class VmLabels:
    """The labels of all guests. A guest is identified by its UUID and name, or by the key of its first process."""

    def __init__(self) -> None:
        self._guests: dict[str, str] = {}  # by key of a process
        self._names: dict[str, tuple[str, str]] = {}  # by guest: name and UUID
        self._labels: dict[str, str] = {}  # by guest

    def known(self, process: Process) -> str | None:
        """The guest of a process; None if the process is new."""
        return self._guests.get(process.key)

    def of(self, process: Process, here: Iterable[str] = (), migrating: Collection[str] = ()) -> str:
        """The guest of a process; from the first call on it stays the same.

        Args:
            process: the QEMU.
            here: keys of the processes that are observed now.
            migrating: the guests whose last migration is not over.
        """
        if process.key not in self._guests:
            self._guests[process.key] = guest = self._first(process, here, migrating)
            self._names.setdefault(guest, (process.name, process.uuid))
            self._name(guest, process)
        return self._guests[process.key]

    def apart(self, process: Process) -> str:
        """A new guest for a process that is a copy of another guest, with the same UUID."""
        self._guests[process.key] = guest = process.key
        self._names[guest] = process.name, process.uuid
        self._name(guest, process)
        return guest

    def label(self, guest: str) -> str:
        """The value of the label ``vm``."""
        return self._labels[guest]

    def keep(self, processes: Collection[str], guests: Collection[str]) -> None:
        """Drop all but these processes with their guests, and the guests that have series."""
        self._guests = {key: guest for key, guest in self._guests.items() if key in processes or guest in guests}
        known = {*self._guests.values(), *guests}
        self._names = {guest: name for guest, name in self._names.items() if guest in known}
        self._labels = {guest: label for guest, label in self._labels.items() if guest in known}

    def _first(self, process: Process, here: Iterable[str], migrating: Collection[str]) -> str:
        if process.uuid:
            return f"uuid {process.uuid} {process.name}"
        there = {self._guests.get(key) for key in here if key != process.key}
        before = [
            guest
            for guest, named in self._names.items()
            if named == (process.name, "") and guest not in there and guest not in migrating
        ]
        return before[0] if len(before) == 1 else process.key

    def _name(self, guest: str, process: Process) -> None:
        if guest in self._labels:
            return
        taken = set(self._labels.values())
        name = encodable(process.name)
        label = next(
            each
            for each in (
                name,
                f"{name} (pid {process.pid})",
                f"{name} ({process.key})",
                *(f"{name} ({process.key}, {number})" for number in range(2, len(taken) + 3)),
            )
            if each not in taken
        )
        self._labels[guest] = label

"""Which guest a process is, and the value of the label ``vm`` that its series have, for as long as they last.

A guest is the processes that had it one after the other: with one UUID, or without any UUID with one name and never at
the same time. So counters go on when a guest comes back, and those of two guests are never added up, whatever they are
called. The name is no more than what the label is made of: it is free for one guest, and others get their process id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fakedirty.model.vm_names import encodable


@dataclass(frozen=True, slots=True)
class Process:
    """A QEMU: `identity` is process id and start time, empty where it is not known (then the name stands for it)."""

    identity: str
    name: str
    uuid: str = ""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"process {self.identity}" if self.identity else f"name {self.name}"

    @property
    def pid(self) -> str:
        """The process id alone."""
        return self.identity.partition(" ")[0]


class VmLabels:
    """Of all that is exported. A guest is called by the key of its first process, or its UUID and name."""

    def __init__(self) -> None:
        self._guests: dict[str, str] = {}  # by key of a process
        self._names: dict[str, tuple[str, str]] = {}  # by guest: name and UUID
        self._labels: dict[str, str] = {}  # by guest

    def known(self, process: Process) -> str | None:
        """The guest of a process that was there before."""
        return self._guests.get(process.key)

    def of(self, process: Process, here: Iterable[str] = (), migrating: Collection[str] = ()) -> str:
        """The guest of a process, from its first time on the same.

        Args:
            process: the QEMU.
            here: keys of the processes that are observed.
            migrating: the guests whose last migration is not over.
        """
        if process.key not in self._guests:
            self._guests[process.key] = guest = self._first(process, here, migrating)
            self._names.setdefault(guest, (process.name, process.uuid))
            self._name(guest, process)
        return self._guests[process.key]

    def apart(self, process: Process) -> str:
        """A guest of its own for a process that is a copy of another, UUID and all."""
        self._guests[process.key] = guest = process.key
        self._names[guest] = process.name, process.uuid
        self._name(guest, process)
        return guest

    def label(self, guest: str) -> str:
        """The value of the label ``vm``."""
        return self._labels[guest]

    def keep(self, processes: Collection[str], guests: Collection[str]) -> None:
        """Forget all but these processes, and the guests that they are, or that have series."""
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

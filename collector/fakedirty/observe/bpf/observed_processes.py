"""The observed processes of a build, in the kernel's maps: the slot of each, and its state.

A program finds the state of its process by arrays alone, which are cheap to read: by the process id it finds the slot,
at one of a few places, and by the slot a map of the process's own. That map has the process id, too. So a program that
reads a place while it is written finds either no state or that of its own process.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from typing import Protocol

from fakedirty.errors import TargetError
from fakedirty.linux.descriptor_limit import demand_descriptors
from fakedirty.observe.decode import wire
from fakedirty.observe.host.target import Target

from .program import BpfMap, OwnMap

PROCESSES = 4096  # slots of a build; no process has slot 0


class Maps(Protocol):
    """The part of :class:`fakedirty.observe.bpf.program.Bpf` that is used here."""

    def map(self, name: str) -> BpfMap:
        """The map that has this name in the probe files."""

    def like(self, template: BpfMap) -> OwnMap:
        """A new map, with the name and the value size of `template`."""


@dataclass(frozen=True, slots=True)
class _Entry:
    slot: int
    place: int
    state: OwnMap


class ObservedProcesses:
    """The processes that have been entered. Every method may be called from any thread."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._slots = maps.map("slots_by_tgid")
        self._states = maps.map("states_by_slot")
        self._template = maps.map("process_state")
        self._entries: dict[int, _Entry] = {}  # by process id
        self._taken: dict[int, int] = {}  # process id by place
        self._lock = threading.Lock()

    def enter(self, target: Target, slot: int) -> None:
        """Let the programs count for a process from now on. If another process had its id before, that one is left.

        Raises:
            TargetError: other processes have all the places of its id.
            BpfError: the kernel has no room.
            DescriptorLimitError: too few file descriptors would be left.
        """
        self.leave(target.pid)
        demand_descriptors(1, f"observing {target.program} (pid {target.pid})")
        with self._lock:
            place = self._free_place(target)
            self._taken[place] = target.pid
        try:
            self._entries[target.pid] = _Entry(slot, place, self._expose(target.pid, slot, place))
        except BaseException:
            del self._taken[place]
            raise

    def leave(self, pid: int, slot: int | None = None) -> None:
        """Stop the programs from counting for a process, if it has that slot.

        When this returns, no program uses the state of the process any more.
        """
        with self._lock:
            entry = self._entries.get(pid)
            if entry is None or slot not in (None, entry.slot):
                return
            del self._entries[pid]
        self._slots.insert(_index(entry.place), bytes(wire.Place()))
        self._states.delete(_index(entry.slot))  # the kernel waits for programs that have read the place
        entry.state.close()
        del self._taken[entry.place]

    def lost(self, pid: int, slot: int) -> list[int] | None:
        """How many events of a process were lost, by the index in LOST_PLACES; None if it does not have that slot."""
        with self._lock:  # maps of the entries are open while it is held
            entry = self._entries.get(pid)
            raw = entry.state.value(_index(0)) if entry is not None and entry.slot == slot else None
        return None if raw is None else list(wire.ProcessHead.from_buffer_copy(raw).lost)

    def close(self) -> None:
        """Stop the programs from counting for all processes."""
        for pid in list(self._entries):
            self.leave(pid)

    def _expose(self, pid: int, slot: int, place: int) -> OwnMap:
        """Write the state first and the place last, so that a program which finds the place finds the state, too."""
        state = self._maps.like(self._template)
        try:
            head = bytes(wire.ProcessHead(slot=slot, tgid=pid))
            state.insert(_index(0), head + bytes(state.value_bytes - len(head)))
            self._states.insert(_index(slot), _index(state.descriptor))
            self._slots.insert(_index(place), bytes(wire.Place(pid, slot)))
        except BaseException:
            self._states.delete(_index(slot))
            state.close()
            raise
        return state

    def _free_place(self, target: Target) -> int:
        places = wire.places_of(target.pid)
        for place in places:
            if place not in self._taken:
                return place
        holders = ", ".join(str(self._taken[place]) for place in places)
        raise TargetError(
            f"{target.program} (pid {target.pid}) cannot be observed: the processes {holders} of its build have all "
            f"{len(places)} places at which probes look for its id"
        )


def _index(number: int) -> bytes:
    return struct.pack("<I", number)

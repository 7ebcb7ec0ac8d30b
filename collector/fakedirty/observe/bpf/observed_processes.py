"""The processes that a build's programs count for, and what the kernel keeps of each.

A program finds the state of its process by arrays alone, which cost it nothing: the slot at one of the places of the
process id, a map of the process's own by the slot. The state has the id again, so that a place which is being written
leads to no state, or to the right one.
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

PROCESSES = 4096  # slots of a build; the first is nobody's


class Maps(Protocol):
    """As much of :class:`fakedirty.observe.bpf.program.Bpf` as is wanted here."""

    def map(self, name: str) -> BpfMap:
        """By its name in the probe files."""

    def like(self, template: BpfMap) -> OwnMap:
        """One of ours."""


@dataclass(frozen=True, slots=True)
class _Entry:
    slot: int
    place: int
    state: OwnMap


class ObservedProcesses:
    """Those that have been entered. Every method may be called from any thread."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._places = maps.map("places")
        self._states = maps.map("observed")
        self._template = maps.map("process_state")
        self._entries: dict[int, _Entry] = {}  # by process id
        self._taken: dict[int, int] = {}  # process id by place
        self._lock = threading.Lock()

    def enter(self, target: Target, slot: int) -> None:
        """Let the programs count for a process from the return on. One that had its id before is left.

        Raises:
            TargetError: other processes have all the places of its id.
            BpfError: the kernel has no room.
            DescriptorLimitError: its map would leave too few.
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
        """Count for a process no more, if it has that slot: no program works on its state after the return."""
        with self._lock:
            entry = self._entries.get(pid)
            if entry is None or slot not in (None, entry.slot):
                return
            del self._entries[pid]
        self._places.insert(_index(entry.place), bytes(wire.Place()))
        self._states.delete(_index(entry.slot))  # which waits for programs that have read the place
        entry.state.close()
        del self._taken[entry.place]

    def lost(self, pid: int, slot: int) -> list[int] | None:
        """How many events of a process were lost so far, by place; None where it has not that slot."""
        with self._lock:  # what is among the entries is open
            entry = self._entries.get(pid)
            raw = entry.state.value(_index(0)) if entry is not None and entry.slot == slot else None
        return None if raw is None else list(wire.ProcessHead.from_buffer_copy(raw).lost)

    def close(self) -> None:
        """Leave all."""
        for pid in list(self._entries):
            self.leave(pid)

    def _expose(self, pid: int, slot: int, place: int) -> OwnMap:
        """The state first, and the place last: whoever reads the place finds the state."""
        state = self._maps.like(self._template)
        try:
            head = bytes(wire.ProcessHead(slot=slot, tgid=pid))
            state.insert(_index(0), head + bytes(state.value_bytes - len(head)))
            self._states.insert(_index(slot), _index(state.descriptor))
            self._places.insert(_index(place), bytes(wire.Place(pid, slot)))
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
            f"{target.program} (pid {target.pid}) cannot be observed beside the processes {holders} of its build: they "
            f"have all {len(places)} places at which probes look for its id"
        )


def _index(number: int) -> bytes:
    return struct.pack("<I", number)

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

from . import wire
from .bpf import BpfMap, OwnMap
from .limits import demand_descriptors
from .target import Target

PROCESSES = 4096  # slots of a build; the first is nobody's


class Maps(Protocol):
    """As much of :class:`fakedirty.observe.bpf.Bpf` as is wanted here."""

    def map(self, name: str) -> BpfMap:
        """By its name in the probe files."""

    def like(self, template: BpfMap) -> OwnMap:
        """One of ours."""


@dataclass(frozen=True, slots=True)
class _Entry:
    slot: int
    place: int
    state: OwnMap


class Observed:
    """Those that have been entered. Reading losses is allowed from any thread, all else from one at a time."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._places = maps.map("places")
        self._states = maps.map("observed")
        self._template = maps.map("process_state")
        self._entries: dict[int, _Entry] = {}  # by process id
        self._taken: dict[int, int] = {}  # process id by place
        self._reading = threading.Lock()  # a map that is read is not closed

    def enter(self, target: Target, slot: int) -> None:
        """Let the programs count for a process from the return on. One that had its id before is left.

        Raises:
            TargetError: other processes have all the places of its id.
            BpfError: the kernel has no room.
            DescriptorLimitError: its map would leave too few.
        """
        self.leave(target.pid)
        place = self._free_place(target)
        demand_descriptors(1, f"observing {target.program} (pid {target.pid})")
        state = self._maps.like(self._template)
        try:
            head = bytes(wire.ProcessHead(slot=slot, tgid=target.pid))
            state.insert(_index(0), head + bytes(state.value_bytes - len(head)))
            self._states.insert(_index(slot), _index(state.descriptor))
            self._places.insert(_index(place), bytes(wire.Place(target.pid, slot)))
        except BaseException:
            self._states.delete(_index(slot))
            state.close()
            raise
        self._entries[target.pid] = _Entry(slot, place, state)
        self._taken[place] = target.pid

    def leave(self, pid: int) -> None:
        """Count for a process no more: no program works on its state after the return."""
        entry = self._entries.get(pid)
        if entry is None:
            return
        self._places.insert(_index(entry.place), bytes(wire.Place()))
        self._states.delete(_index(entry.slot))  # which waits for programs that have read the place
        with self._reading:
            del self._entries[pid], self._taken[entry.place]
            entry.state.close()

    def lost(self, pid: int, slot: int) -> list[int] | None:
        """How many events of a process were lost so far, by place; None where it has not that slot."""
        with self._reading:
            entry = self._entries.get(pid)
            raw = entry.state.value(_index(0)) if entry is not None and entry.slot == slot else None
        return None if raw is None else list(wire.ProcessHead.from_buffer_copy(raw).lost)

    def close(self) -> None:
        """Leave all."""
        for pid in list(self._entries):
            self.leave(pid)

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

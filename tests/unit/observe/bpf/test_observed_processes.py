"""Where the kernel finds the state of a process: places that collide, order of writing, and what a release leaves."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import cast

import pytest
from fakedirty.errors import TargetError
from fakedirty.linux.uprobe import BpfError
from fakedirty.observe.bpf.observed_processes import ObservedProcesses
from fakedirty.observe.bpf.program import BpfMap, OwnMap
from fakedirty.observe.decode import wire
from fakedirty.observe.host.target import Target

VALUE_BYTES = 64


class Kernel:
    """Maps by name, and what was done to them, in order."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[bytes, bytes]] = {}
        self.done: list[str] = []
        self.open: set[int] = set()
        self.refusing = ""

    def map(self, name: str) -> BpfMap:
        return cast(BpfMap, FakeMap(self, name))

    def like(self, template: BpfMap) -> OwnMap:
        assert template.name == "process_state"
        own = FakeMap(self, f"state {len(self.done)}")
        self.open.add(own.descriptor)
        return cast(OwnMap, own)

    def slots(self) -> dict[int, int]:
        """What a program would find, by process id."""
        found = {}
        for raw in self.maps.get("slots_by_tgid", {}).values():
            place = wire.Place.from_buffer_copy(raw)
            if place.tgid:
                found[place.tgid] = place.slot
        return found


class FakeMap:
    value_bytes = VALUE_BYTES

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.descriptor = 100 + len(kernel.done)
        self.values = kernel.maps.setdefault(name, {})

    def insert(self, key: bytes, value: bytes) -> None:
        self.kernel.done.append(self.name.split()[0])
        if self.name == self.kernel.refusing:
            raise BpfError("no room")
        self.values[key] = value

    def value(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def delete(self, key: bytes) -> None:
        self.kernel.done.append(f"{self.name} deleted")
        self.values.pop(key, None)

    def close(self) -> None:
        self.kernel.done.append("closed")
        self.kernel.open.remove(self.descriptor)


def target(pid: int) -> Target:
    return Target(pid, f"vm{pid}", Path("exe"), "qemu", 1, ())


def colliding(count: int, pid: int = 4711) -> list[int]:
    """Process ids with the same places."""
    [first, *_] = wire.places_of(pid)
    found = (other for other in range(1, 1 << 22) if wire.places_of(other)[0] == first)
    return [next(found) for _ in range(count)]


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def observed(kernel: Kernel) -> ObservedProcesses:
    return ObservedProcesses(kernel)


def test_the_state_comes_first_and_the_place_last(kernel: Kernel, observed: ObservedProcesses) -> None:
    observed.enter(target(7), 3)
    assert kernel.done == ["state", "states_by_slot", "slots_by_tgid"]
    assert kernel.slots() == {7: 3}
    kernel.done.clear()
    observed.leave(7)
    assert kernel.done == ["slots_by_tgid", "states_by_slot deleted", "closed"]
    assert kernel.slots() == {}
    assert not kernel.maps["states_by_slot"]
    assert not kernel.open


def test_a_state_says_whose_it_is(kernel: Kernel, observed: ObservedProcesses) -> None:
    observed.enter(target(7), 3)
    [state] = [values for name, values in kernel.maps.items() if name.startswith("state ")]
    head = wire.ProcessHead.from_buffer_copy(state[struct.pack("<I", 0)])
    assert (head.tgid, head.slot) == (7, 3)
    assert observed.lost(7, 3) == [0] * len(wire.LOST_PLACES)
    assert observed.lost(7, 4) is None, "another process had that id, and another slot"
    assert observed.lost(8, 3) is None


def test_processes_whose_places_collide_have_one_each(kernel: Kernel, observed: ObservedProcesses) -> None:
    pids = colliding(wire.PLACES_TRIED)
    for slot, pid in enumerate(pids, 1):
        observed.enter(target(pid), slot)
    assert kernel.slots() == {pid: slot for slot, pid in enumerate(pids, 1)}
    for pid in pids:
        taken = {
            index
            for (index,), raw in ((struct.unpack("<I", key), raw) for key, raw in kernel.maps["slots_by_tgid"].items())
            if wire.Place.from_buffer_copy(raw).tgid == pid
        }
        assert taken <= set(wire.places_of(pid)), "where programs look"


def test_one_whose_places_are_all_taken_is_refused_by_name(kernel: Kernel, observed: ObservedProcesses) -> None:
    *pids, last = colliding(wire.PLACES_TRIED + 1)
    for slot, pid in enumerate(pids, 1):
        observed.enter(target(pid), slot)
    with pytest.raises(TargetError) as caught:
        observed.enter(target(last), 9)
    assert f"pid {last}" in str(caught.value)
    assert all(str(pid) in str(caught.value) for pid in pids)
    assert last not in kernel.slots()
    assert len(kernel.open) == len(pids)
    observed.leave(pids[1])
    observed.enter(target(last), 9)
    assert kernel.slots() == {pids[0]: 1, pids[2]: 3, pids[3]: 4, last: 9}


@pytest.mark.parametrize("refusing", ["states_by_slot", "slots_by_tgid"])
def test_what_the_kernel_refuses_leaves_nothing(refusing: str, kernel: Kernel, observed: ObservedProcesses) -> None:
    kernel.refusing = refusing
    with pytest.raises(BpfError):
        observed.enter(target(7), 3)
    kernel.refusing = ""
    assert not kernel.open
    assert not kernel.maps["states_by_slot"]
    assert kernel.slots() == {}
    observed.enter(target(7), 3)
    assert kernel.slots() == {7: 3}


def test_one_that_had_the_same_id_is_left(kernel: Kernel, observed: ObservedProcesses) -> None:
    observed.enter(target(7), 3)
    observed.enter(target(7), 4)
    assert kernel.slots() == {7: 4}
    assert len(kernel.open) == len(kernel.maps["states_by_slot"]) == 1
    observed.close()
    assert not kernel.open

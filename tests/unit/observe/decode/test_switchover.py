"""The steps of a switchover, from the kernel's events to the model: whose they are, and which migration has them."""

from __future__ import annotations

import json

from fakedirty.model.enums import Level
from fakedirty.model.events import (
    CheckpointReached,
    DestinationFound,
    DeviceLoaded,
    DeviceSaved,
    GuestArrived,
    MigrationStarted,
    StateChanged,
)
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.decode.interfaces import Observed
from fakedirty.observe.decode.reader import reader
from fakedirty.observe.decode.switchover import steps

SOURCE, DESTINATION, STRANGER = 10, 20, 30
STATES = ["inmigrate", "running", "paused", "finish-migrate"]


def peer(pid: int, role: str, *, vm: str = "web", waiting: bool = False) -> TraceRecord:
    about = {"pid": pid, "vm": vm, "uuid": "", "role": role, "waiting": waiting, "states": STATES}
    return TraceRecord(1, Channel.PEER, json.dumps(about).encode())


def step(kind: int, time_ns: int, pid: int, name: bytes, *, stage: bytes = b"", instance: int = 0) -> TraceRecord:
    event = wire.SwitchoverEvent(wire.EventHeader(time_ns, kind), pid, instance, 7 if stage else 0, stage, name)
    return TraceRecord(time_ns, Channel.SWITCHOVER, bytes(event))


def ran(time_ns: int, pid: int, state: str) -> TraceRecord:
    event = wire.RunStateEvent(wire.EventHeader(time_ns, wire.EVENT_RUNSTATE), pid, STATES.index(state))
    return TraceRecord(time_ns, Channel.RUNSTATE, bytes(event))


def read(*records: TraceRecord) -> list[Observed]:
    read_by = reader(Subject("web", Level.PATCHED, "10 1", {"tgid": SOURCE}))
    return [event for record in records for event in read_by.take(record)]


def test_a_step_is_what_the_kernel_saw() -> None:
    assert read(
        peer(SOURCE, "source"),
        step(wire.EVENT_CHECKPOINT, 5, SOURCE, b"src-vm-stopped"),
        step(wire.EVENT_DEVICE_SAVED, 6, SOURCE, b"ram", stage=b"iterable"),
        step(wire.EVENT_DEVICE_SAVED, 7, SOURCE, b"timer", stage=b"non-iterable", instance=3),
        step(wire.EVENT_DEVICE_LOADED, 8, SOURCE, b"timer", stage=b"non-iterable", instance=3),
    ) == [
        CheckpointReached(5, "src-vm-stopped"),
        DeviceSaved(6, "ram", 0, 7_000, iterable=True),
        DeviceSaved(7, "timer", 3, 7_000, iterable=False),
        DeviceLoaded(8, "timer", 3, 7_000, iterable=False),
    ]


def test_a_device_takes_no_negative_time() -> None:
    """A time below 0 is a huge number without a sign: one device would take all of the downtime."""
    head = wire.EventHeader(6, wire.EVENT_DEVICE_SAVED)
    event = wire.SwitchoverEvent(head, SOURCE, 0, 2**64 - 5, b"non-iterable", b"timer")
    assert [*steps(event)] == [DeviceSaved(6, "timer", 0, 0, iterable=False)]


def test_a_checkpoint_without_a_name_is_none() -> None:
    assert read(peer(SOURCE, "source"), step(wire.EVENT_CHECKPOINT, 5, SOURCE, b"")) == []


def test_steps_of_the_destination_are_those_of_the_migration_and_no_stranger_s_are() -> None:
    load = [step(wire.EVENT_DEVICE_LOADED, 9, pid, b"timer", stage=b"non-iterable") for pid in (DESTINATION, STRANGER)]
    assert read(peer(SOURCE, "source"), peer(DESTINATION, "destination"), *load) == [
        DestinationFound(1, "web"),
        DeviceLoaded(9, "timer", 0, 7_000, iterable=False),
    ]
    others = [peer(DESTINATION, "destination"), peer(STRANGER, "destination")]
    both_wait = read(peer(SOURCE, "source"), *others, *load)
    assert both_wait == [DestinationFound(1, "web"), DestinationFound(1, "web")], "nobody knows whose they are"


def test_what_a_waiting_qemu_loads_belongs_to_the_guest_that_arrives() -> None:
    waiting = peer(SOURCE, "source", waiting=True)
    load = step(wire.EVENT_DEVICE_LOADED, 9, SOURCE, b"timer", stage=b"non-iterable")
    assert read(waiting, load) == []
    arrived = [
        MigrationStarted(12, incoming=True),
        DeviceLoaded(9, "timer", 0, 7_000, iterable=False),
        GuestArrived(12, running=True),
        StateChanged(12, "completed"),
    ]
    assert read(waiting, load, ran(12, SOURCE, "running")) == arrived
    again = read(waiting, load, ran(12, SOURCE, "running"), waiting, ran(20, SOURCE, "running"))
    assert [event for event in again if isinstance(event, DeviceLoaded)] == [arrived[1]], "only once"


def test_a_longer_name_is_cut_off() -> None:
    name = b"x" * wire.DEVICE_BYTES
    (event,) = read(peer(SOURCE, "source"), step(wire.EVENT_DEVICE_SAVED, 5, SOURCE, name[:-1], stage=b"non-iterable"))
    assert isinstance(event, DeviceSaved)
    assert event.device == "x" * (wire.DEVICE_BYTES - 1)

"""A switchover made of events by hand: one clock, both sides, numbers that can be added up on paper."""

from __future__ import annotations

from fakedirty.model.events import (
    CheckpointReached,
    DeviceLoaded,
    DeviceSaved,
    Event,
    GuestArrived,
    GuestStopped,
    StateChanged,
)

MS = 10**6
STOP = 7_000 * 10**9  # when the guest is stopped; all times below are in ms from then on
NETWORK, TIMER = "0000:00:03.0/virtio-net", "timer"


def at(ms: float) -> int:
    """The time `ms` after the stop, on CLOCK_MONOTONIC."""
    return STOP + round(ms * MS)


def reached(ms: float, name: str) -> CheckpointReached:
    return CheckpointReached(at(ms), name)


def saved(begin: float, end: float, device: str, *, iterable: bool = False, instance: int = 0) -> DeviceSaved:
    return DeviceSaved(at(end), device, instance, at(end) - at(begin), iterable)


def loaded(begin: float, end: float, device: str, *, iterable: bool = False, instance: int = 0) -> DeviceLoaded:
    return DeviceLoaded(at(end), device, instance, at(end) - at(begin), iterable)


SOURCE: tuple[Event, ...] = (
    reached(-0.5, "bitmap-synced"),  # of the last round with the guest running
    reached(-0.1, "src-downtime-start"),
    GuestStopped(at(0)),
    reached(2, "src-vm-stopped"),
    reached(6, "bitmap-synced"),
    saved(3, 40, "ram", iterable=True),
    reached(40, "src-iterable-saved"),
    saved(41, 42, TIMER),
    saved(42, 50, NETWORK),
    reached(50.5, "src-non-iterable-saved"),
)
DESTINATION: tuple[Event, ...] = (
    loaded(5, 46, "ram", iterable=True),
    loaded(46, 47, TIMER),  # while the source saves the network card
    loaded(53, 60, NETWORK),
    reached(61, "dst-precopy-loadvm-completed"),
    reached(63, "dst-precopy-bh-enter"),
    reached(64, "dst-precopy-bh-announced"),
    GuestArrived(at(70), running=True),
    reached(70.2, "dst-precopy-bh-vm-started"),
)
END: tuple[Event, ...] = (reached(71, "src-downtime-end"), StateChanged(at(71), "completed"))

#: kind: counted ms, of SOURCE and DESTINATION
COUNTED = {"stop": 2, "prepare": 1, "sync": 3, "ram": 34, "states": 1, "save": 9, "wire": 4, "load": 7, "start": 9}

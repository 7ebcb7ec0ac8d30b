"""Decodes the steps of a switchover: struct switchover_event in, events of the model out. Pure."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from fakedirty.model.events import CheckpointReached, DeviceLoaded, DeviceSaved

from . import wire

Step = CheckpointReached | DeviceSaved | DeviceLoaded

_ITERABLE = b"iterable"


def steps(event: wire.SwitchoverEvent) -> Iterator[Step]:
    """The step of an event of the kernel; none if it is a checkpoint whose name could not be read."""
    time_ns, name = int(event.header.time_ns), event.name.decode(errors="replace")
    if event.header.kind == wire.EVENT_CHECKPOINT:
        if name:
            yield CheckpointReached(time_ns, name)
        return
    step = DeviceSaved if event.header.kind == wire.EVENT_DEVICE_SAVED else DeviceLoaded
    # QEMU counts in signed numbers, and its clock may be set back where it has no monotonic one
    duration_us = max(0, ctypes.c_int64(event.duration_us).value)
    yield step(time_ns, name, int(event.instance), duration_us * 1000, event.stage == _ITERABLE)

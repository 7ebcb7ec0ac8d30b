"""The probes of the switchover: QEMU's trace events of its checkpoints, and of each device that is saved or loaded.

A QEMU that lacks some of these events has the others. A destination of another executable than its source's is followed
as far as its trace events have their arguments in the same places: the programs are compiled for the source.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fakedirty.errors import FakedirtyError
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.enums import Level
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.executable_plans import ExecutablePlans, once_loaded
from fakedirty.observe.host.target import Target

from . import usdt
from .attach_point import PlacedProbe

FILE = "switchover.c"
LEVELS = (Level.USDT, Level.PATCHED)

_CHECKPOINT = "vmstate_downtime_checkpoint"
_LOAD = "vmstate_downtime_load"
EVENTS = (_CHECKPOINT, "vmstate_downtime_save", _LOAD, "migration_bitmap_sync_end")
OF_DESTINATIONS = (_CHECKPOINT, _LOAD)

_log = logging.getLogger(__name__)


def placed(target: Target, plans: ExecutablePlans) -> tuple[PlacedProbe, ...]:
    """The programs of the switchover for a QEMU, one for each location of a trace event; none if it has no events."""
    try:
        return once_loaded(target, lambda: plans.of(target, FILE, _plan))
    except (FakedirtyError, OSError) as error:
        _log.info("the switchover of %s (pid %d) is not followed: %s", target.vm, target.pid, error)
        return ()


def _plan(binary: Binary, _memory: ProcessMemory) -> tuple[PlacedProbe, ...]:
    return tuple(usdt.placed(binary, [name for name in EVENTS if name in binary.usdt]))


def of_destination(found: Sequence[PlacedProbe], compiled: Sequence[PlacedProbe]) -> list[PlacedProbe]:
    """Those programs of a destination that are among the `compiled` ones of its source, and that it needs."""
    texts = {each.text for each in compiled}
    return [each for each in found if each.text in texts and each.point.symbol in OF_DESTINATIONS]

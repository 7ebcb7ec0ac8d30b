"""Which VMs keep their series, and which have series by round: both are bounded, however many VMs come and go."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

KEPT = timedelta(hours=1)  # after the end of the last migration, so that a job of seconds can still be scraped
DEPARTED_VMS = 500  # at most, of those that nobody observes any more
VMS_WITH_ROUNDS = 20  # unless the exporter is configured otherwise


class RetainedVm(Protocol):
    """When the last migration of a VM was first observed, and when its observation ended."""

    @property
    def started_at(self) -> datetime: ...

    @property
    def left_at(self) -> datetime | None: ...


def dropped(vms: Mapping[str, RetainedVm], attached: Collection[str], now: datetime) -> list[str]:
    """The VMs to be dropped, the oldest first; never one that is attached or migrates."""
    departed = sorted((vm.left_at, name) for name, vm in vms.items() if vm.left_at and name not in attached)
    too_many = len(departed) - DEPARTED_VMS
    return [name for number, (left, name) in enumerate(departed) if number < too_many or now - left > KEPT]


def with_rounds(vms: Mapping[str, RetainedVm], most: int) -> set[str]:
    """The VMs that have series by round, at most `most`: those that migrate come first, then those that did last."""

    def recent(name: str) -> tuple[bool, datetime]:
        left = vms[name].left_at
        return left is None, left or vms[name].started_at

    return set(heapq.nlargest(most, vms, key=recent))

"""Which VMs keep their series, and which have those of rounds: both are bounded, however many VMs come and go."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

KEPT = timedelta(hours=1)  # after the end of the last migration: so long a job of seconds can still be scraped
DEPARTED_VMS = 500  # at most, of those that nobody observes any more
VMS_WITH_ROUNDS = 100  # whose last migrations have series of each round: those that migrate, or did last


class RetainedVms(Protocol):
    """When the last migration of a VM was told of, and left."""

    @property
    def started_at(self) -> datetime: ...

    @property
    def left_at(self) -> datetime | None: ...


def dropped(vms: Mapping[str, RetainedVms], attached: Collection[str], now: datetime) -> list[str]:
    """Those to be forgotten, the oldest first; never one that is observed, or migrates."""
    departed = sorted((vm.left_at, name) for name, vm in vms.items() if vm.left_at and name not in attached)
    too_many = len(departed) - DEPARTED_VMS
    return [name for number, (left, name) in enumerate(departed) if number < too_many or now - left > KEPT]


def with_rounds(vms: Mapping[str, RetainedVms]) -> set[str]:
    """Those that migrate, the latest first, and then those that did last, as many as there may be."""

    def recent(name: str) -> tuple[bool, datetime]:
        left = vms[name].left_at
        return left is None, left or vms[name].started_at

    return set(heapq.nlargest(VMS_WITH_ROUNDS, vms, key=recent))

"""How KVM reports the pages that a fuzzed guest writes: by a bitmap, or by a ring, which dirty-limit needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fakedirty.lab.guests.content import PAGE_BYTES

from .chance import Chance
from .moment import Moment
from .plan import DIRTY_LIMIT, Attempt, Change, Plan

RING_SHARE = 3 / 4  # of plans for KVM
LIMIT_SHARE = 3 / 5  # of those with a ring

#: Entries of a ring. A vCPU leaves the guest whenever its ring is full. Every KVM takes the smallest one.
RINGS = (1024, 1024, 4096, 65536)

# When its ring is full, a vCPU over its limit sleeps until its rate is within the limit. A sync of the bitmap waits for
# it. With the smallest ring and these limits that takes parts of a second. QEMU does not slow a vCPU that is at most
# 25 MB/s above its limit.
LIMITS_MB = (4, 8, 16)
PERIODS_MS = (50, 200, 1000)
LEAST_TRIGGER = 1  # percent of what was sent: the limit begins as soon as any pages are written

# A vCPU under a limit writes little. A round that sends the changed pages must then last longer than 0.1 s: after so
# long QEMU uses a measured bandwidth. Otherwise no page would be dirty after the round.
ROUND_SECONDS = 0.8
LIMIT_SECONDS = 4.0  # how much longer a migration with a limit lasts


@dataclass(frozen=True, slots=True)
class DirtyReporting:
    """How KVM reports written pages.

    `ring` is the number of entries; None: a bitmap. `limit` has the parameters of dirty-limit, if that is on.
    """

    ring: int | None = None
    limit: Mapping[str, object] = field(default_factory=dict)

    @property
    def more_seconds(self) -> float:
        """How much longer than others the migration is to last."""
        return LIMIT_SECONDS if self.limit else 0.0

    def applied_to(self, plan: Plan) -> Plan:
        """The same plan with this kind of reporting. dirty-limit excludes auto-converge."""
        if not self.limit:
            return replace(plan, ring=self.ring)
        return replace(
            plan,
            ring=self.ring,
            capabilities={**plan.capabilities, "auto-converge": False, DIRTY_LIMIT: True},
            parameters={**plan.parameters, **self.limit},
            attempts=tuple(_slowed(plan, attempt) for attempt in plan.attempts),
        )


def draw_reporting(chance: Chance, *, limits: bool) -> DirtyReporting:
    """Draw a bitmap, a ring, or, where `limits` are allowed, a ring with dirty-limit."""
    has_ring, has_limit = chance.happens(RING_SHARE), chance.happens(LIMIT_SHARE)
    ring, limit, period = chance.choice(RINGS), chance.choice(LIMITS_MB), chance.choice(PERIODS_MS)
    if not has_ring:
        return DirtyReporting()
    if not (has_limit and limits):
        return DirtyReporting(ring)
    parameters: dict[str, object] = {
        "vcpu-dirty-limit": limit,
        "x-vcpu-dirty-limit-period": period,
        "throttle-trigger-threshold": LEAST_TRIGGER,
    }
    return DirtyReporting(min(RINGS), parameters)


def _slowed(plan: Plan, attempt: Attempt) -> Attempt:
    """The same attempt with little bandwidth after the bulk round, unless the link itself is slow."""
    if plan.link_bits:
        return attempt
    workload = plan.workload
    changing = workload.changed + workload.zero + workload.aba
    page_bytes = PAGE_BYTES / (plan.multifd.ratio if plan.multifd else 1)
    bulk_seconds = sum(workload.counts.values()) * page_bytes / plan.bandwidth_bytes
    slow = Change({"max-bandwidth": int(changing * page_bytes / ROUND_SECONDS)}, Moment(after_seconds=bulk_seconds))
    return replace(attempt, changes=(*attempt.changes, slow))

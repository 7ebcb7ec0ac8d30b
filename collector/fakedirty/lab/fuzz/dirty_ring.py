"""How KVM reports the pages that a fuzzed guest writes: by a bitmap, or by a ring, which allows limits on vCPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fakedirty.lab.guests.content import PAGE_BYTES

from .chance import Chance
from .moment import Moment
from .plan import DIRTY_LIMIT, Attempt, Change, Plan

RING_SHARE = 3 / 4  # of plans for KVM
LIMIT_SHARE = 3 / 5  # of those with a ring

#: Entries; a vCPU leaves the guest whenever its ring is full. The least is what any KVM takes.
RINGS = (1024, 1024, 4096, 65536)

# A vCPU that writes more sleeps when its ring is full, and with it whoever syncs the bitmap: so long that it writes no
# more than its limit in that time. With the least ring and these limits that is parts of a second. QEMU leaves a vCPU
# alone that is no more than 25 MB/s above its limit.
LIMITS_MB = (4, 8, 16)
PERIODS_MS = (50, 200, 1000)
LEAST_TRIGGER = 1  # percent of what was sent: pages that are written at all begin the limit

# A vCPU that is held back writes little: a round that sends what really changes then lasts longer than the tenth of a
# second whose bandwidth QEMU uses at once, or nothing would be dirty after it.
SLOW_SECONDS = 0.8
LIMIT_SECONDS = 4.0  # that a migration with a limit lasts longer


@dataclass(frozen=True, slots=True)
class DirtyReporting:
    """`ring` is the number of entries, None: a bitmap. `limit` are the parameters of dirty-limit, if it is on."""

    ring: int | None = None
    limit: Mapping[str, object] = field(default_factory=dict)

    @property
    def more_seconds(self) -> float:
        """How much longer than others a migration is to last."""
        return LIMIT_SECONDS if self.limit else 0.0

    def of(self, plan: Plan) -> Plan:
        """The plan with this way of reporting. dirty-limit excludes auto-converge."""
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
    """A bitmap, a ring, or a ring with dirty-limit where `limits` may be."""
    ringed, limited = chance.happens(RING_SHARE), chance.happens(LIMIT_SHARE)
    ring, limit, period = chance.of(RINGS), chance.of(LIMITS_MB), chance.of(PERIODS_MS)
    if not ringed:
        return DirtyReporting()
    if not (limited and limits):
        return DirtyReporting(ring)
    parameters: dict[str, object] = {
        "vcpu-dirty-limit": limit,
        "x-vcpu-dirty-limit-period": period,
        "throttle-trigger-threshold": LEAST_TRIGGER,
    }
    return DirtyReporting(min(RINGS), parameters)


def _slowed(plan: Plan, attempt: Attempt) -> Attempt:
    """The same with little bandwidth after the bulk round, where it is not the link that is slow."""
    if plan.link_bits:
        return attempt
    work = plan.workload
    changing = work.changed + work.zero + work.aba
    page = PAGE_BYTES / (plan.multifd.ratio if plan.multifd else 1)
    bulk_seconds = sum(work.counts.values()) * page / plan.bandwidth_bytes
    slow = Change({"max-bandwidth": int(changing * page / SLOW_SECONDS)}, Moment(after_seconds=bulk_seconds))
    return replace(attempt, changes=(*attempt.changes, slow))

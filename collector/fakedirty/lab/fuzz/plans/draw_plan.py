"""Draws the plan of a fuzzed migration. The same seed and index give the same plan again."""

from __future__ import annotations

from dataclasses import replace

from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.migrate import UNLIMITED
from fakedirty.qmp.parameters import SWITCHOVER

from .chance import Chance
from .dirty_ring import DirtyReporting, draw_reporting
from .draw_attempt import (
    AVAILABLE,
    NEVER_ENOUGH,
    OF_THE_LINK,
    STEADY_SECONDS,
    XBZRLE_CACHES,
    AttemptFrame,
    draw_attempt,
    draw_guest_stop,
    with_another_block,
    with_guest_stop,
    with_refused_toggle,
)
from .draw_guest import draw_guest, largest_sets
from .draw_route import SLOW_POSTCOPY, draw_transport, with_faults, with_kills, with_postcopy
from .draw_toggles import ToggleWalk
from .memory_layouts import ONE_BLOCK
from .plan import Plan
from .possibilities import MOST_VCPUS, Possibilities
from .route import FileRoute, HybridRoute

DOWNTIME_LIMITS_MS = (1, 1, 1, 5)  # 0 would end a migration after round 1
CANCELS = (0, 0, 0, 1, 1, 2)
KVM_SHARE = 1 / 7  # where KVM emulates, its guests start slowly
PAUSE_SHARE = 0.7
PLAIN_SHARE = 0.5  # of guests that have all their memory in one block of small pages
BULK_SECONDS = (0.1, 0.4)  # of every guest
ENDLESS_SHARE = 0.85  # of migrations that only end because they are let through

# These migrations have a downtime limit that is longer than the delays which other work on this host causes. After the
# time of the attempt they may end by themselves. Their link is as slow in the switchover as before it.
TIMED_SHARE = 0.2
TIMED_LIMITS_MS = (100, 200, 300)
TIMED_SECONDS = 6.0

FORCED_SHARE = 1 / 16  # of plans with a forced sync; never under KVM, which may emulate and is too slow for it then
HARDLY, MOSTLY = 20, 99  # percent of the time that a guest may be kept from running


def draw_plan(seed: int, index: int, possibilities: Possibilities) -> Plan:
    """Draw the plan of migration `index`.

    What is not possible changes nothing else in the plan.

    Args:
        seed: of all plans of a fuzz run.
        index: of the migration, from 0.
        possibilities: what QEMU accepts and this host runs.
    """
    chance = Chance(f"{seed}:{index}")
    forced = chance.happens(FORCED_SHARE)
    workload = draw_guest(chance)
    if forced:
        workload = largest_sets(workload)
    bulk_seconds = chance.between(*BULK_SECONDS)
    bandwidth = int(sum(workload.counts.values()) * PAGE_BYTES / bulk_seconds)
    kvm, plain = chance.happens(KVM_SHARE) and not forced, chance.happens(PLAIN_SHARE)
    accelerator = possibilities.accelerators[-1 if kvm else 0]
    has_ring = possibilities.ring and accelerator == "kvm"
    reporting = draw_reporting(Chance(f"{seed}:{index}:ring"), limits=not forced) if has_ring else DirtyReporting()
    memory = chance.choice(possibilities.memories)
    pauses, endless = chance.happens(PAUSE_SHARE), chance.happens(ENDLESS_SHARE)
    cancels = 0 if forced else chance.choice(CANCELS)
    walk = ToggleWalk(chance, possibilities)
    limit_ms = chance.choice(DOWNTIME_LIMITS_MS)
    guest_stop = draw_guest_stop(chance, limit_ms)
    frame = AttemptFrame(
        bulk_seconds,
        bandwidth,
        pauses,
        possibilities.refuses_late,
        forced,
        steady_seconds=STEADY_SECONDS + reporting.more_seconds,
    )
    attempts = [draw_attempt(chance, walk, frame, cancelled=number < cancels) for number in range(cancels + 1)]
    blocks = Chance(f"{seed}:{index}:blocks")
    attempts = [with_another_block(blocks, attempt, number) for number, attempt in enumerate(attempts)]
    route, multifd = draw_transport(seed, index, possibilities, ends_itself=bool(guest_stop) or forced)
    if multifd:
        bandwidth //= multifd.ratio
    timing = Chance(f"{seed}:{index}:limit")
    timed = timing.happens(TIMED_SHARE) and not (guest_stop or forced or isinstance(route, HybridRoute))
    if timed:
        limit_ms = timing.choice(TIMED_LIMITS_MS)
        attempts[-1] = replace(attempts[-1], seconds=attempts[-1].seconds + TIMED_SECONDS)
    refused = possibilities.refuses_late and pauses
    *earlier, last = [with_refused_toggle(attempt) if refused else attempt for attempt in attempts]
    if guest_stop and not forced:
        last = with_guest_stop(attempts[-1], guest_stop)
    if possibilities.survives_faults:
        breaking = Chance(f"{seed}:{index}:break")
        earlier = with_faults(breaking, earlier, channels=multifd is not None, file=isinstance(route, FileRoute))
    if isinstance(route, HybridRoute):
        earlier, last = with_postcopy(Chance(f"{seed}:{index}:postcopy"), earlier, last)
        if possibilities.survives_faults:
            earlier, last = with_kills(Chance(f"{seed}:{index}:killed"), earlier, last, pauses=pauses)
    slow_link = timed and not isinstance(route, FileRoute)
    return reporting.applied_to(
        Plan(
            seed=seed,
            index=index,
            workload=workload,
            vcpus=min(chance.choice(range(1, MOST_VCPUS + 1)), possibilities.vcpus),
            accelerator=accelerator,
            memory=ONE_BLOCK if plain else memory,
            bandwidth_bytes=UNLIMITED if slow_link else bandwidth,
            link_bits=8 * bandwidth if slow_link else None,
            downtime_limit_ms=route.limit_ms if isinstance(route, HybridRoute) else limit_ms,
            capabilities={
                "xbzrle": chance.happens(0.5) and not multifd and not isinstance(route, FileRoute),
                "auto-converge": chance.happens(0.4) or forced,
                "pause-before-switchover": pauses,
            },
            parameters={
                "xbzrle-cache-size": chance.choice(XBZRLE_CACHES),
                "cpu-throttle-initial": HARDLY if forced else chance.choice((10, 40, 80)),
                "max-cpu-throttle": HARDLY if forced else MOSTLY,
                SWITCHOVER: chance.happens(0.5),
                AVAILABLE: NEVER_ENOUGH if endless or forced or timed else OF_THE_LINK,
                **({"zero-page-detection": multifd.zero_pages} if multifd else {}),
                **(route.parameters if route else {}),
                **(SLOW_POSTCOPY if last.fault else {}),
                **possibilities.parameters,
            },
            attempts=(*earlier, last),
            multifd=multifd,
            route=route,
        )
    )

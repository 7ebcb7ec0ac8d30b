"""Draws the plan of a fuzzed migration from a seed and an index, so that it can be drawn again."""

from __future__ import annotations

from dataclasses import replace

from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.guests.workload import BAREMETAL_FIRST, BAREMETAL_RESERVED_TOP, MIB_FRAMES, Workload
from fakedirty.lab.migrate import PAUSED, UNLIMITED
from fakedirty.model.enums import Mode
from fakedirty.qmp.parameters import SWITCHOVER

from .chance import Chance
from .coverage import BLOCKS_CHANGED, CACHE_RESIZED, SWITCHOVER_CHANGED
from .dirty_ring import DirtyReporting, draw_reporting
from .draw_route import CREEPING, LAST_SECONDS, draw_ways, with_breaks, with_kills, with_postcopy
from .draw_toggles import HashChoice, ToggleWalk
from .memory_layouts import ONE_BLOCK
from .moment import Moment
from .plan import MOST_VCPUS, Attempt, Change, Plan, Possibilities
from .route import FileRoute, HybridRoute

MEMORY_MIB = 8  # the size of a guest is a multiple of it
MOST = {"fake": 2500, "changed": 400, "zero": 500, "aba": 500, "phased": 600, "untouched": 600}
LEAST = {"fake": 300, "changed": 30, "zero": 30, "aba": 30, "phased": 0, "untouched": 0}
STRIDES = (1, 1, 2, 3)

XBZRLE_CACHES = (1 << 16, 1 << 20, 1 << 22, 1 << 26)  # bytes: from too small for anything to larger than the guest
DOWNTIME_LIMITS_MS = (1, 1, 1, 5)  # 0 would end a migration after round 1
CANCELS = (0, 0, 0, 1, 1, 2)
KVM_SHARE = 1 / 7  # where KVM emulates, its guests start slowly
PAUSE_SHARE = 0.7
PLAIN_SHARE = 0.5  # of guests that have all their memory in one block of small pages

# A migration that takes this bandwidth (bytes/s) for the link's needs less than a page to switch over: it goes on
# until it is let through. The others may converge before.
NEVER_ENOUGH, OF_THE_LINK = 1000, 0
ENDLESS_SHARE = 0.85
AVAILABLE = "avail-switchover-bandwidth"

# A guest that is stopped writes nothing after the look that its switchover is decided by. So many pages fit then.
STILL_SHARE = 0.2
STILL_PAGES = (20, 1500)
STILL_BANDWIDTH = 1_000_000  # bytes/s: not all of it is sent before it is looked at
STILL_SECONDS = 20.0

# A switchover is held to a limit that says more about the migration than about the machine's other work: from the end
# of the attempt on the migration may end by itself, over a link that is no faster in the switchover than before it.
TIMED_SHARE = 0.2
TIMED_LIMITS_MS = (100, 200, 300)
TIMED_SECONDS = 6.0

# A block of RAM comes to the list of those there are. No guest has it, and none is migrated.
BLOCK_SHARE, BLOCK_BYTES = 0.3, 1 << 20

CALM_SHARE, CALM_SECONDS = 0.8, 0.45
LATE_SECONDS = 0.3
# The last toggle but one, and the last: just before the end, and at it, or with the VM stopped. No round follows that
# would send again what was left out, so that anything goes, but more than chance would have it what must forget
# records does: off and on again, another hash and back, and skip after whatever was sent.
Late = tuple[Mode | None, HashChoice | None]
ENDS: tuple[tuple[Late, Late], ...] = (
    ((None, None), (None, None)),
    ((None, None), (None, None)),
    ((None, None), (None, None)),
    ((None, None), (Mode.SKIP, None)),
    ((Mode.OFF, HashChoice.STAYS), (Mode.SKIP, HashChoice.STAYS)),
    ((Mode.SKIP, HashChoice.OTHER), (Mode.SKIP, HashChoice.RETURNS)),
)

# Auto-converge syncs of its own accord at every fifth second, if a round lasts from one of them to the next: with as
# little bandwidth, and as many pages of a guest that is hardly throttled, as can be, all of them first pages. Where
# KVM emulates, a guest is too slow for that.
FORCED_SHARE = 1 / 16
FORCED_SECONDS = (4.2, 10.3)
LEAST_BANDWIDTH = 100
HARDLY, MOSTLY = 20, 99  # percent of the time that a guest may be kept from running


def draw(seed: int, index: int, possible: Possibilities) -> Plan:
    """The plan of migration `index`. What is possible changes nothing but what is not."""
    chance = Chance(f"{seed}:{index}")
    forced = chance.happens(FORCED_SHARE)
    workload = _workload(chance)
    if forced:
        workload = replace(workload, **MOST, pause_ms=0, memory_mib=_memory_mib(sum(MOST.values()) * workload.stride))
    # so that the bulk round takes part of a second, whatever the guest
    bulk_seconds = chance.between(0.1, 0.4)
    bandwidth = int(sum(workload.counts.values()) * PAGE_BYTES / bulk_seconds)
    kvm, plain = chance.happens(KVM_SHARE) and not forced, chance.happens(PLAIN_SHARE)
    accelerator = possible.accelerators[-1 if kvm else 0]
    rings = possible.ring and accelerator == "kvm"
    reporting = draw_reporting(Chance(f"{seed}:{index}:ring"), limits=not forced) if rings else DirtyReporting()
    memory = chance.of(possible.memories)
    pause, endless = chance.happens(PAUSE_SHARE), chance.happens(ENDLESS_SHARE)
    cancels = 0 if forced else chance.of(CANCELS)
    walk = ToggleWalk(chance, possible)
    limit_ms = chance.of(DOWNTIME_LIMITS_MS)
    still = _still(chance, limit_ms)
    attempts = [
        _attempt(
            chance,
            walk,
            bulk_seconds,
            bandwidth,
            pause=pause,
            decides=possible.decides,
            cancelled=number < cancels,
            forced=forced,
            calm_seconds=CALM_SECONDS + reporting.more_seconds,
        )
        for number in range(cancels + 1)
    ]
    too_late = possible.decides and pause
    blocks = Chance(f"{seed}:{index}:blocks")
    attempts = [_with_another_block(blocks, attempt, number) for number, attempt in enumerate(attempts)]
    way, multifd = draw_ways(seed, index, possible, by_itself=bool(still) or forced)
    if multifd:
        bandwidth //= multifd.ratio
    timing = Chance(f"{seed}:{index}:limit")
    timed = timing.happens(TIMED_SHARE) and not (still or forced or isinstance(way, HybridRoute))
    if timed:
        limit_ms = timing.of(TIMED_LIMITS_MS)
        attempts[-1] = replace(attempts[-1], seconds=attempts[-1].seconds + TIMED_SECONDS)
    *earlier, last = [_toggle_too_late(attempt) if too_late else attempt for attempt in attempts]
    if still and not forced:
        last = _stand_still(attempts[-1], still)
    if possible.breaks:
        breaking = Chance(f"{seed}:{index}:break")
        earlier = with_breaks(breaking, earlier, channels=multifd is not None, file=isinstance(way, FileRoute))
    if isinstance(way, HybridRoute):
        earlier, last = with_postcopy(Chance(f"{seed}:{index}:postcopy"), earlier, last)
        if possible.breaks:
            earlier, last = with_kills(Chance(f"{seed}:{index}:killed"), earlier, last, pauses=pause)
    linked = timed and not isinstance(way, FileRoute)
    return reporting.of(
        Plan(
            seed=seed,
            index=index,
            workload=workload,
            vcpus=min(chance.of(range(1, MOST_VCPUS + 1)), possible.vcpus),
            accelerator=accelerator,
            memory=ONE_BLOCK if plain else memory,
            bandwidth_bytes=UNLIMITED if linked else bandwidth,
            link_bits=8 * bandwidth if linked else None,
            downtime_limit_ms=way.limit_ms if isinstance(way, HybridRoute) else limit_ms,
            capabilities={
                "xbzrle": chance.happens(0.5) and not multifd and not isinstance(way, FileRoute),
                "auto-converge": chance.happens(0.4) or forced,
                "pause-before-switchover": pause,
            },
            parameters={
                "xbzrle-cache-size": chance.of(XBZRLE_CACHES),
                "cpu-throttle-initial": HARDLY if forced else chance.of((10, 40, 80)),
                "max-cpu-throttle": HARDLY if forced else MOSTLY,
                SWITCHOVER: chance.happens(0.5),
                AVAILABLE: NEVER_ENOUGH if endless or forced or timed else OF_THE_LINK,
                **({"zero-page-detection": multifd.zero_pages} if multifd else {}),
                **(way.parameters if way else {}),
                **(CREEPING if last.broken else {}),
                **possible.parameters,
            },
            attempts=(*earlier, last),
            multifd=multifd,
            way=way,
        )
    )


def _workload(chance: Chance) -> Workload:
    """Pages of every kind; those that break a careless skip, A-B-A and zero-flip, always among them."""
    sets = {name: chance.whole(LEAST[name], most) for name, most in MOST.items()}
    stride = chance.of(STRIDES)
    memory = _memory_mib(sum(sets.values()) * stride)
    return Workload(**sets, pause_ms=chance.of((0, 0, 1, 2, 5, 20)), memory_mib=memory, stride=stride)


def _memory_mib(frames: int) -> int:
    """The size of a guest whose sets take so many frames."""
    return -(-(frames + BAREMETAL_FIRST + BAREMETAL_RESERVED_TOP) // (MEMORY_MIB * MIB_FRAMES)) * MEMORY_MIB


def most_mib() -> int:
    """The size of the largest guest that is drawn."""
    return _memory_mib(sum(MOST.values()) * max(STRIDES))


def _attempt(
    chance: Chance,
    walk: ToggleWalk,
    bulk_seconds: float,
    bandwidth: int,
    *,
    pause: bool,
    decides: bool,
    cancelled: bool,
    forced: bool,
    calm_seconds: float,
) -> Attempt:
    """Toggles for a while; mostly a stretch of skip that no toggle disturbs, so that something is skipped; the end.

    Toggles just before the end, and with the VM stopped, leave no round that would send again what was left out. Where
    QEMU takes none with the VM stopped, the last one comes as the migration is let through.
    """
    wild = FORCED_SECONDS[1] + 0.1 if forced else bulk_seconds + chance.between(0.6, 1.4)
    calm = wild + bulk_seconds + calm_seconds
    seconds = calm + LATE_SECONDS
    before = walk.toggles([Moment()] * chance.whole(1, 3))
    early = [_early(chance, bulk_seconds, wild) for _ in range(chance.whole(5, 9) * (1 + forced))]
    toggles = list(walk.toggles(sorted(early, key=lambda moment: moment.after_seconds or 0)))
    if forced:
        toggles.append(walk.toggle(Moment(after_seconds=FORCED_SECONDS[0]), change=HashChoice.OTHER))
    if chance.happens(CALM_SHARE):
        toggles.append(replace(walk.toggle(Moment(after_seconds=wild), Mode.SKIP), hasty=False))
    late, last = chance.of(ENDS)
    stopped = Moment(after_seconds=seconds + 2, in_state=PAUSED)
    end = stopped if pause else Moment(after_seconds=seconds - chance.between(0, 0.1))
    toggles.append(replace(walk.toggle(Moment(after_seconds=calm), *late), hasty=False))
    toggles.append(walk.toggle(Moment(after_seconds=seconds - LAST_SECONDS) if decides else end, *last))
    cancel = chance.of((_early(chance, bulk_seconds, wild), Moment(after_seconds=calm), end))
    changes = _changes(chance, wild, seconds)
    if forced:
        low, high = FORCED_SECONDS
        changes += [_bandwidth(LEAST_BANDWIDTH, low), _bandwidth(bandwidth, high)]
    return Attempt(before, tuple(toggles), seconds, cancel if cancelled else None, tuple(changes))


def _toggle_too_late(attempt: Attempt) -> Attempt:
    """The same, and with the VM stopped another mode, which is to be refused."""
    last = attempt.toggles[-1]
    mode = Mode.OBSERVE if last.mode is Mode.OFF else Mode.OFF
    moment = Moment(after_seconds=attempt.seconds + 2, in_state=PAUSED)
    return replace(attempt, toggles=(*attempt.toggles, replace(last, mode=mode, moment=moment)))


def _still(chance: Chance, limit_ms: int) -> dict[str, object] | None:
    """What is set when the guest is stopped, if it is."""
    happens, pages = chance.happens(STILL_SHARE), chance.whole(*STILL_PAGES)
    available = pages * PAGE_BYTES * 1000 // limit_ms
    return {SWITCHOVER: True, "max-bandwidth": STILL_BANDWIDTH, AVAILABLE: available} if happens else None


def _stand_still(attempt: Attempt, parameters: dict[str, object]) -> Attempt:
    """The same with a guest that is stopped where nothing is toggled any more, in mode skip."""
    *toggles, late, _last = attempt.toggles
    calm = replace(late, mode=Mode.SKIP, hasty=False)
    moment = replace(late.moment, after_seconds=(late.moment.after_seconds or 0) + LATE_SECONDS / 2)
    return replace(
        attempt,
        toggles=(*toggles, calm),
        seconds=attempt.seconds + STILL_SECONDS,
        changes=tuple(change for change in attempt.changes if AVAILABLE not in change.parameters),
        still=Change(parameters, moment),
    )


def _early(chance: Chance, bulk_seconds: float, wild: float) -> Moment:
    """In the bulk round, later, or after a round."""
    return chance.of(
        (
            Moment(after_seconds=chance.between(0, bulk_seconds)),
            Moment(after_seconds=chance.between(bulk_seconds, wild)),
            Moment(after_seconds=chance.between(bulk_seconds, wild)),
            Moment(after_round=chance.whole(0, 40), after_seconds=wild),
        )
    )


def _changes(chance: Chance, wild: float, seconds: float) -> list[Change]:
    """Other parameters that are changed while the migration runs, and what lets it through at its end."""
    resized = Change(
        {"xbzrle-cache-size": chance.of(XBZRLE_CACHES)}, Moment(after_seconds=chance.between(0, wild)), CACHE_RESIZED
    )
    switchover = Change(
        {SWITCHOVER: chance.happens(0.5)},
        Moment(after_seconds=chance.between(0, wild)),
        SWITCHOVER_CHANGED,
    )
    drawn = [change for change in (resized, switchover) if chance.happens(0.3)]
    return [*drawn, Change({AVAILABLE: OF_THE_LINK}, Moment(after_seconds=seconds))]


def _with_another_block(chance: Chance, attempt: Attempt, number: int) -> Attempt:
    """The same with a block that comes while it runs, in some; none goes, as QEMU is left when all is done."""
    moment = Moment(after_seconds=chance.between(0, attempt.seconds))
    if not chance.happens(BLOCK_SHARE):
        return attempt
    block = {"qom-type": "memory-backend-ram", "id": f"block-{number}", "size": BLOCK_BYTES}
    return replace(attempt, changes=(*attempt.changes, Change(block, moment, BLOCKS_CHANGED, "object-add")))


def _bandwidth(rate: int, after_seconds: float) -> Change:
    return Change({"max-bandwidth": rate}, Moment(after_seconds=after_seconds))

"""Draws the plan of a fuzzed migration from a seed and an index, so that it can be drawn again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from fakedirty.model.words import Mode

from .fuzz_plan import PAUSED, Attempt, Moment, Plan, Possible, Toggle
from .guest_workload import BAREMETAL_FIRST, BAREMETAL_RESERVED_TOP, MIB_FRAMES, Workload

T = TypeVar("T")

MEMORY_MIB = 8  # the size of a guest is a multiple of it
XBZRLE_CACHES = (1 << 16, 1 << 20, 1 << 22, 1 << 26)  # bytes: from too small for anything to larger than the guest
DOWNTIME_LIMITS_MS = (1, 1, 1, 5)  # a migration is to last until it is let through; 0 would end it after round 1
CANCELS = (0, 0, 0, 1, 1, 2)
KVM_SHARE = 1 / 4  # where KVM emulates, its guests start slowly
HASTY_SHARE = 0.2
CALM_SHARE, CALM_SECONDS = 0.6, 0.5
HASH_STAYS, AUDIT_STAYS = 0.7, 0.9

# what a mode is changed to; a migration counts only if it skips for a while
NEXT = {
    Mode.OFF: (Mode.OBSERVE, Mode.SKIP),
    Mode.OBSERVE: (Mode.OFF, Mode.SKIP),
    Mode.SKIP: (Mode.OFF, Mode.OBSERVE, Mode.SKIP),  # skip again, with another hash perhaps
}


def draw(seed: int, index: int, possible: Possible) -> Plan:
    """The plan of migration `index`. What is possible changes nothing but what is not."""
    chance = Chance(f"{seed}:{index}")
    workload = _workload(chance)
    # so that the bulk round takes part of a second, whatever the guest
    bulk_seconds = chance.between(0.1, 0.5)
    written = sum(workload.counts.values())
    kvm = chance.happens(KVM_SHARE)
    pause = chance.happens(0.5)
    cancels = chance.of(CANCELS)
    return Plan(
        seed=seed,
        index=index,
        workload=workload,
        vcpus=chance.of((1, 2, 3)),
        accelerator=possible.accelerators[-1 if kvm else 0],
        bandwidth_bytes=int(written * 4096 / bulk_seconds),
        downtime_limit_ms=chance.of(DOWNTIME_LIMITS_MS),
        capabilities={
            "xbzrle": chance.happens(0.5),
            "auto-converge": chance.happens(0.4),
            "pause-before-switchover": pause,
        },
        parameters={
            "xbzrle-cache-size": chance.of(XBZRLE_CACHES),
            "cpu-throttle-initial": chance.of((10, 40, 80)),
            "fake-dirty-switchover": chance.happens(0.5),
            **possible.parameters,
        },
        attempts=tuple(
            _attempt(chance, possible, bulk_seconds, pause=pause, cancelled=number < cancels)
            for number in range(cancels + 1)
        ),
    )


class Chance:
    """Draws that take as much from the generator whatever there is to choose from."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def between(self, low: float, high: float) -> float:
        """A number, evenly distributed."""
        return low + (high - low) * self._random.random()

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.between(low, high + 1))

    def of(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.whole(0, len(choices) - 1)]

    def happens(self, share: float) -> bool:
        """Whether what happens in such a share of cases happens now."""
        return self.between(0, 1) < share


def _workload(chance: Chance) -> Workload:
    """Pages of every kind; those that break a careless skip, A-B-A and zero-flip, always among them."""
    sets = {
        "fake": chance.whole(300, 2500),
        "changed": chance.whole(30, 400),
        "zero": chance.whole(30, 500),
        "aba": chance.whole(30, 500),
        "untouched": chance.whole(0, 600),
    }
    stride = chance.of((1, 1, 2, 3))
    frames = sum(sets.values()) * stride + BAREMETAL_FIRST + BAREMETAL_RESERVED_TOP
    memory = -(-frames // (MEMORY_MIB * MIB_FRAMES)) * MEMORY_MIB
    return Workload(**sets, pause_ms=chance.of((0, 0, 1, 2, 5, 20)), memory_mib=memory, stride=stride)


def _attempt(chance: Chance, possible: Possible, bulk_seconds: float, *, pause: bool, cancelled: bool) -> Attempt:
    """Toggles for a while; then, mostly, a stretch of skip that no timed toggle disturbs, so that something is."""
    wild = bulk_seconds + chance.between(0.8, 2.5)
    seconds = wild + bulk_seconds + CALM_SECONDS
    moments = [_moment(chance, bulk_seconds, wild, seconds, pause) for _ in range(chance.whole(3, 8))]
    calm = chance.happens(CALM_SHARE)
    cancel = _moment(chance, bulk_seconds, wild, seconds, pause)
    before = _toggles(chance, possible, [Moment()] * chance.whole(1, 3))
    early = [moment for moment in moments if _latest(moment) <= wild]
    late = sorted((moment for moment in moments if _latest(moment) > wild), key=_latest)
    toggles = list(_toggles(chance, possible, sorted(early, key=_latest), before[-1]))
    if calm:
        last = toggles[-1] if toggles else before[-1]
        toggles.append(replace(last, mode=Mode.SKIP, moment=Moment(after_seconds=wild), hasty=False))
    toggles += _toggles(chance, possible, late, toggles[-1] if toggles else before[-1])
    return Attempt(before, tuple(toggles), seconds, cancel if cancelled else None)


def _latest(moment: Moment) -> float:
    return moment.after_seconds or 0


def _toggles(
    chance: Chance, possible: Possible, moments: Sequence[Moment], last: Toggle | None = None
) -> tuple[Toggle, ...]:
    """One for each moment. Hash and audit mostly stay: each change of them makes every page a first one."""
    toggles = []
    for moment in moments:
        hash_name, audit = chance.of(possible.hashes), chance.happens(0.5)
        keep_hash, keep_audit = chance.happens(HASH_STAYS), chance.happens(AUDIT_STAYS)
        last = Toggle(
            chance.of(NEXT[last.mode if last else Mode.OFF]),
            last.hash if last and keep_hash else hash_name,
            (last.audit if last and keep_audit else audit) if possible.audit else None,
            moment,
            chance.happens(HASTY_SHARE),
        )
        toggles.append(last)
    return tuple(toggles)


def _moment(chance: Chance, bulk_seconds: float, wild: float, seconds: float, pause: bool) -> Moment:
    """In the bulk round, later, after a round, when it is let through, or with the VM stopped for the switchover."""
    paused = Moment(after_seconds=seconds + 2, in_state=PAUSED)
    moments = (
        Moment(after_seconds=chance.between(0, bulk_seconds)),
        Moment(after_seconds=chance.between(bulk_seconds, wild)),
        Moment(after_seconds=chance.between(bulk_seconds, wild)),
        Moment(after_round=chance.whole(0, 8), after_seconds=wild),
        Moment(after_round=chance.whole(8, 200), after_seconds=wild),
        Moment(after_seconds=seconds + chance.between(0, 0.2)),
        Moment(after_seconds=seconds + chance.between(0, 0.1)),
        paused,
        paused,
    )
    return chance.of(moments if pause else moments[:-2])

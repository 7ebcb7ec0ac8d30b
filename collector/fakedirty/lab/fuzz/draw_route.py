"""Draws by which way a migration of a plan goes, and what its attempts have of that: breaks, and postcopy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fakedirty.lab.migrate import PAUSED, POSTCOPY

from .chance import Chance
from .faults import IN_POSTCOPY, KILLED_IN_POSTCOPY, KILLED_IN_STOP, Fault, draw_break
from .moment import Moment
from .multifd import Multifd, draw_multifd
from .plan import Attempt, Possibilities
from .route import WITH_MULTIFD, FileRoute, HybridRoute, Way, draw_way

LAST_SECONDS = (
    0.02  # for a toggle to be taken before the migration is let through; what waits to be adopted delays that
)

# Postcopy begins at some round, or so long before a migration would be let through: mostly in the stretch of skip that
# no toggle disturbs.
AT_A_ROUND_SHARE, ROUNDS_BEFORE = 0.4, (1, 12)
SECONDS_BEFORE = (0.05, 0.7)

# A link that is to break in postcopy is so slow in it (bytes/s) that it is not over before. Migrations that are mended
# go on without a limit.
BROKEN_SHARE = 0.5
CREEPING = {"max-postcopy-bandwidth": 40_000}

# Of migrations that are left to postcopy: how many lose their destination in it, and how many of the attempts before
# lose theirs while the guest is stopped for it.
KILLED_SHARE, KILLED_IN_STOP_SHARE = 0.25, 0.5


def draw_ways(seed: int, index: int, possible: Possibilities, *, by_itself: bool) -> tuple[Way | None, Multifd | None]:
    """What it goes by, each of what QEMU allows together; no postcopy where the migration is to end `by_itself`."""
    multifd = draw_multifd(Chance(f"{seed}:{index}:multifd"), possible.compressions)
    way = draw_way(Chance(f"{seed}:{index}:way"), possible.ways)
    if isinstance(way, HybridRoute):
        if by_itself:
            return None, multifd
        return way, multifd if WITH_MULTIFD in possible.ways else None
    if isinstance(way, FileRoute):
        return (way, replace(multifd, compression="none")) if multifd else (replace(way, direct=False), None)
    return way, multifd


def _broken(chance: Chance, attempt: Attempt, *, channels: bool, file: bool) -> Attempt:
    """The same, but in some something breaks where it would be cancelled."""
    assert attempt.cancel is not None
    broken = draw_break(chance, attempt.cancel, channels=channels, file=file)
    return replace(attempt, cancel=None, broken=broken) if broken else attempt


def _cancelled_before(attempt: Attempt) -> Attempt:
    """The same; if it is cancelled with the VM stopped, it may be stopped for postcopy: there is no way back later."""
    if attempt.cancel and attempt.cancel.in_state == PAUSED:
        return replace(attempt, postcopy=Moment(after_seconds=attempt.seconds - LAST_SECONDS))
    return attempt


def _left(chance: Chance, attempt: Attempt) -> Attempt:
    """The same with the rest left to postcopy, in which the link breaks in some.

    It comes after a round at least where the machine is not too slow for that.
    """
    by_round, rounds = chance.happens(AT_A_ROUND_SHARE), chance.whole(*ROUNDS_BEFORE)
    at = attempt.seconds - chance.between(*SECONDS_BEFORE)
    moment = Moment(after_round=rounds, after_seconds=at) if by_round else Moment(after_seconds=at)
    broken = Fault(IN_POSTCOPY, Moment(in_state=POSTCOPY)) if chance.happens(BROKEN_SHARE) else None
    return replace(attempt, postcopy=moment, broken=broken)


def _killed_in_stop(chance: Chance, attempt: Attempt) -> Attempt:
    """The same, but in some postcopy begins, and the destination is killed in the stop that it begins with."""
    happens, before = chance.happens(KILLED_IN_STOP_SHARE), chance.between(*SECONDS_BEFORE)
    if not happens:
        return attempt
    return replace(
        attempt,
        cancel=None,
        broken=Fault(KILLED_IN_STOP, Moment(in_state=PAUSED)),
        postcopy=Moment(after_seconds=attempt.seconds - before),
    )


def _killed(chance: Chance, attempt: Attempt) -> Attempt:
    """The same, but in some the destination is killed in postcopy, whatever else would break in it."""
    happens, which = chance.happens(KILLED_SHARE), chance.between(0, 1)
    return replace(attempt, broken=Fault(KILLED_IN_POSTCOPY, Moment(in_state=POSTCOPY), which)) if happens else attempt


def with_breaks(chance: Chance, attempts: Sequence[Attempt], *, channels: bool, file: bool) -> list[Attempt]:
    """The same; in some something breaks where they would be cancelled."""
    return [_broken(chance, attempt, channels=channels, file=file) for attempt in attempts]


def with_postcopy(chance: Chance, earlier: Sequence[Attempt], last: Attempt) -> tuple[list[Attempt], Attempt]:
    """The same; the last is left to postcopy, and those before are cancelled just before it."""
    return [_cancelled_before(attempt) for attempt in earlier], _left(chance, last)


def with_kills(
    chance: Chance, earlier: Sequence[Attempt], last: Attempt, *, pauses: bool
) -> tuple[list[Attempt], Attempt]:
    """The same; the destinations of some are killed in postcopy, or in the stop before it.

    That stop is met by the pause before it: where there is none, nobody is killed in it.
    """
    last = _killed(chance, last)
    return [_killed_in_stop(chance, attempt) if pauses else attempt for attempt in earlier], last

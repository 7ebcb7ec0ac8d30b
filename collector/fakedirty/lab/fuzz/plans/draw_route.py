"""Draws the route of a plan, and what follows from it for the attempts: faults and postcopy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fakedirty.lab.migrate import PAUSED, POSTCOPY

from .chance import Chance
from .faults import KILLED_IN_POSTCOPY, KILLED_IN_STOP, LINK_IN_POSTCOPY, Fault, draw_fault
from .moment import Moment
from .multifd import Multifd, draw_multifd
from .plan import Attempt
from .possibilities import Possibilities
from .route import WITH_MULTIFD, FileRoute, HybridRoute, Route, draw_route

# How long before a migration is let through the last action comes. Adopting a toggle delays that action.
LAST_SECONDS = 0.02

# Postcopy begins after some round, or so long before a migration would be let through: mostly in the stretch of skip
# without toggles.
AFTER_ROUND_SHARE, ROUNDS_BEFORE = 0.4, (1, 12)
SECONDS_BEFORE = (0.05, 0.7)

# If a fault is to meet postcopy, QEMU sends so slowly in it (bytes/s) that it is not over before. Once the link is
# mended the limit is lifted.
LINK_FAULT_SHARE = 0.5
SLOW_POSTCOPY = {"max-postcopy-bandwidth": 40_000}

# Shares of destinations that are killed: in postcopy in the last attempt, in the stop before it in earlier ones.
KILLED_SHARE, KILLED_IN_STOP_SHARE = 0.25, 0.5


def draw_transport(
    seed: int, index: int, possibilities: Possibilities, *, ends_itself: bool
) -> tuple[Route | None, Multifd | None]:
    """Draw route and multifd, and drop what QEMU refuses together.

    Args:
        seed: of the plan.
        index: of the plan.
        possibilities: what QEMU accepts.
        ends_itself: whether the migration is to end in pre-copy: then there is no postcopy.
    """
    multifd = draw_multifd(Chance(f"{seed}:{index}:multifd"), possibilities.compressions)
    route = draw_route(Chance(f"{seed}:{index}:way"), possibilities.routes)
    if isinstance(route, HybridRoute):
        if ends_itself:
            return None, multifd
        return route, multifd if WITH_MULTIFD in possibilities.routes else None
    if isinstance(route, FileRoute):
        return (route, replace(multifd, compression="none")) if multifd else (replace(route, direct=False), None)
    return route, multifd


def with_faults(chance: Chance, attempts: Sequence[Attempt], *, channels: bool, file: bool) -> list[Attempt]:
    """The same attempts; in some a fault takes the place of the cancel. All of them are cancelled."""
    return [_with_fault(chance, attempt, channels=channels, file=file) for attempt in attempts]


def with_postcopy(chance: Chance, earlier: Sequence[Attempt], last: Attempt) -> tuple[list[Attempt], Attempt]:
    """The same attempts; the last one uses postcopy. Earlier ones are cancelled, some just before it."""
    return [_cancelled_before_postcopy(attempt) for attempt in earlier], _with_postcopy(chance, last)


def with_kills(
    chance: Chance, earlier: Sequence[Attempt], last: Attempt, *, pauses: bool
) -> tuple[list[Attempt], Attempt]:
    """The same attempts; some destinations are killed in postcopy, or in the stop before it.

    The stop can only be met at the pause before the switchover. Where a migration does not pause, no destination is
    killed in the stop.
    """
    last = _killed_in_postcopy(chance, last)
    return [_killed_in_stop(chance, attempt) if pauses else attempt for attempt in earlier], last


def _with_fault(chance: Chance, attempt: Attempt, *, channels: bool, file: bool) -> Attempt:
    assert attempt.cancel is not None
    fault = draw_fault(chance, attempt.cancel, channels=channels, file=file)
    return replace(attempt, cancel=None, fault=fault) if fault else attempt


def _cancelled_before_postcopy(attempt: Attempt) -> Attempt:
    """With the VM stopped, this may also be the stop for postcopy. It is the last moment for a cancel."""
    if attempt.cancel and attempt.cancel.in_state == PAUSED:
        return replace(attempt, postcopy=Moment(after_seconds=attempt.seconds - LAST_SECONDS))
    return attempt


def _with_postcopy(chance: Chance, attempt: Attempt) -> Attempt:
    """Postcopy for the rest; in some attempts the link breaks in it.

    At least one round comes before postcopy, unless the host is too slow.
    """
    by_round, rounds = chance.happens(AFTER_ROUND_SHARE), chance.integer(*ROUNDS_BEFORE)
    seconds = attempt.seconds - chance.between(*SECONDS_BEFORE)
    moment = Moment(after_round=rounds, after_seconds=seconds) if by_round else Moment(after_seconds=seconds)
    fault = Fault(LINK_IN_POSTCOPY, Moment(in_state=POSTCOPY)) if chance.happens(LINK_FAULT_SHARE) else None
    return replace(attempt, postcopy=moment, fault=fault)


def _killed_in_stop(chance: Chance, attempt: Attempt) -> Attempt:
    happens, before = chance.happens(KILLED_IN_STOP_SHARE), chance.between(*SECONDS_BEFORE)
    if not happens:
        return attempt
    return replace(
        attempt,
        cancel=None,
        fault=Fault(KILLED_IN_STOP, Moment(in_state=PAUSED)),
        postcopy=Moment(after_seconds=attempt.seconds - before),
    )


def _killed_in_postcopy(chance: Chance, attempt: Attempt) -> Attempt:
    """In some attempts, in the place of a fault of the link."""
    happens, which = chance.happens(KILLED_SHARE), chance.between(0, 1)
    return replace(attempt, fault=Fault(KILLED_IN_POSTCOPY, Moment(in_state=POSTCOPY), which)) if happens else attempt

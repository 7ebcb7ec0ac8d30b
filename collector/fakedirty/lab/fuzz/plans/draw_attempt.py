"""Draws an attempt of a plan: its toggles, its other changes and its end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.migrate import PAUSED
from fakedirty.model.enums import Mode
from fakedirty.qmp.parameters import SWITCHOVER

from .chance import Chance
from .draw_route import LAST_SECONDS
from .draw_toggles import HashChoice, ToggleWalk
from .moment import Moment
from .plan import Attempt, Change

#: features that toggles meet by changes
CACHE_RESIZED, SWITCHOVER_CHANGED = "xbzrle cache resized", "fake-dirty-switchover changed"
BLOCKS_CHANGED = "RAM blocks changed"

XBZRLE_CACHES = (1 << 16, 1 << 20, 1 << 22, 1 << 26)  # bytes: from too small for any guest to larger than each

# A migration that takes this bandwidth (bytes/s) for the link's needs less than a page to switch over: it goes on
# until it is let through. The others may converge before.
NEVER_ENOUGH, OF_THE_LINK = 1000, 0
AVAILABLE = "avail-switchover-bandwidth"

# A stopped guest writes nothing after QEMU looks at the pages that decide the switchover. So many pages fit then.
GUEST_STOP_SHARE = 0.2
GUEST_STOP_PAGES = (20, 1500)
GUEST_STOP_BANDWIDTH = 1_000_000  # bytes/s: QEMU looks before it has sent all of them
GUEST_STOP_SECONDS = 20.0

# A block is added to the list of RAM blocks. It belongs to no guest and is not migrated.
BLOCK_SHARE, BLOCK_BYTES = 0.3, 1 << 20

# Most attempts have a stretch of skip without toggles.
STEADY_SHARE, STEADY_SECONDS = 0.8, 0.45
LATE_SECONDS = 0.3

# The last two toggles: one just before the end, and one at the end or with the VM stopped. No later round sends what
# they leave out, so any toggle is a test. Those that must make QEMU forget its records are drawn more often than at
# random: off and on again, another hash and back, and skip after any sends.
Late = tuple[Mode | None, HashChoice | None]
ENDS: tuple[tuple[Late, Late], ...] = (
    ((None, None), (None, None)),
    ((None, None), (None, None)),
    ((None, None), (None, None)),
    ((None, None), (Mode.SKIP, None)),
    ((Mode.OFF, HashChoice.STAYS), (Mode.SKIP, HashChoice.STAYS)),
    ((Mode.SKIP, HashChoice.OTHER), (Mode.SKIP, HashChoice.RETURNS)),
)

# Auto-converge forces a sync at every fifth second, if one round lasts from one of them to the next. Such a round needs
# little bandwidth and many pages, all of them first pages, of a guest that is hardly throttled.
FORCED_SECONDS = (4.2, 10.3)
LEAST_BANDWIDTH = 100  # bytes/s


@dataclass(frozen=True, slots=True)
class AttemptFrame:
    """What all attempts of a plan have in common.

    Attributes:
        bulk_seconds: how long the bulk round lasts.
        bandwidth: bytes per second.
        pauses: whether the migration pauses before the switchover.
        refuses_late: whether QEMU refuses toggles from its decision on the switchover on.
        forced: whether a sync is to be forced.
        steady_seconds: how long the stretch without toggles lasts, beyond a bulk round.
    """

    bulk_seconds: float
    bandwidth: int
    pauses: bool
    refuses_late: bool
    forced: bool
    steady_seconds: float


def draw_attempt(chance: Chance, walk: ToggleWalk, frame: AttemptFrame, *, cancelled: bool) -> Attempt:
    """Draw an attempt, in three parts: toggles, mostly a stretch of skip without toggles, and two late toggles.

    The late toggles come just before the end and with the VM stopped. If QEMU takes none with the VM stopped, the last
    one comes just before the migration is let through.
    """
    bulk_seconds, forced = frame.bulk_seconds, frame.forced
    toggling_end = FORCED_SECONDS[1] + 0.1 if forced else bulk_seconds + chance.between(0.6, 1.4)
    steady_end = toggling_end + bulk_seconds + frame.steady_seconds
    seconds = steady_end + LATE_SECONDS
    before = walk.toggles([Moment()] * chance.integer(1, 3))
    early = [_early(chance, bulk_seconds, toggling_end) for _ in range(chance.integer(5, 9) * (1 + forced))]
    toggles = list(walk.toggles(sorted(early, key=lambda moment: moment.after_seconds or 0)))
    if forced:
        toggles.append(walk.toggle(Moment(after_seconds=FORCED_SECONDS[0]), change=HashChoice.OTHER))
    if chance.happens(STEADY_SHARE):
        toggles.append(replace(walk.toggle(Moment(after_seconds=toggling_end), Mode.SKIP), hasty=False))
    late, last = chance.choice(ENDS)
    stopped = Moment(after_seconds=seconds + 2, in_state=PAUSED)
    end = stopped if frame.pauses else Moment(after_seconds=seconds - chance.between(0, 0.1))
    toggles.append(replace(walk.toggle(Moment(after_seconds=steady_end), *late), hasty=False))
    toggles.append(walk.toggle(Moment(after_seconds=seconds - LAST_SECONDS) if frame.refuses_late else end, *last))
    cancel = chance.choice((_early(chance, bulk_seconds, toggling_end), Moment(after_seconds=steady_end), end))
    changes = _changes(chance, toggling_end, seconds)
    if forced:
        low, high = FORCED_SECONDS
        changes += [_bandwidth(LEAST_BANDWIDTH, low), _bandwidth(frame.bandwidth, high)]
    return Attempt(before, tuple(toggles), seconds, cancel if cancelled else None, tuple(changes))


def with_refused_toggle(attempt: Attempt) -> Attempt:
    """The same attempt with one more toggle, to another mode and with the VM stopped, which QEMU must refuse."""
    last = attempt.toggles[-1]
    mode = Mode.OBSERVE if last.mode is Mode.OFF else Mode.OFF
    moment = Moment(after_seconds=attempt.seconds + 2, in_state=PAUSED)
    return replace(attempt, toggles=(*attempt.toggles, replace(last, mode=mode, moment=moment)))


def draw_guest_stop(chance: Chance, limit_ms: int) -> dict[str, object] | None:
    """Draw the parameters that are set when the guest is stopped; None if it is not.

    Args:
        chance: the random generator.
        limit_ms: the downtime limit.
    """
    happens, pages = chance.happens(GUEST_STOP_SHARE), chance.integer(*GUEST_STOP_PAGES)
    available = pages * PAGE_BYTES * 1000 // limit_ms
    return {SWITCHOVER: True, "max-bandwidth": GUEST_STOP_BANDWIDTH, AVAILABLE: available} if happens else None


def with_guest_stop(attempt: Attempt, parameters: dict[str, object]) -> Attempt:
    """The same attempt with a guest that is stopped in mode skip, after the last toggle."""
    *toggles, late, _last = attempt.toggles
    skip = replace(late, mode=Mode.SKIP, hasty=False)
    moment = replace(late.moment, after_seconds=(late.moment.after_seconds or 0) + LATE_SECONDS / 2)
    return replace(
        attempt,
        toggles=(*toggles, skip),
        seconds=attempt.seconds + GUEST_STOP_SECONDS,
        changes=tuple(change for change in attempt.changes if AVAILABLE not in change.parameters),
        guest_stop=Change(parameters, moment),
    )


def with_another_block(chance: Chance, attempt: Attempt, number: int) -> Attempt:
    """The same attempt; in some, a RAM block is added while it runs. No block is removed before QEMU ends."""
    moment = Moment(after_seconds=chance.between(0, attempt.seconds))
    if not chance.happens(BLOCK_SHARE):
        return attempt
    block = {"qom-type": "memory-backend-ram", "id": f"block-{number}", "size": BLOCK_BYTES}
    return replace(attempt, changes=(*attempt.changes, Change(block, moment, BLOCKS_CHANGED, "object-add")))


def _early(chance: Chance, bulk_seconds: float, toggling_end: float) -> Moment:
    """A moment in the bulk round, later, or after a round."""
    return chance.choice(
        (
            Moment(after_seconds=chance.between(0, bulk_seconds)),
            Moment(after_seconds=chance.between(bulk_seconds, toggling_end)),
            Moment(after_seconds=chance.between(bulk_seconds, toggling_end)),
            Moment(after_round=chance.integer(0, 40), after_seconds=toggling_end),
        )
    )


def _changes(chance: Chance, toggling_end: float, seconds: float) -> list[Change]:
    """Changes of other parameters while the migration runs, and the one that lets it through at its end."""
    resized = Change(
        {"xbzrle-cache-size": chance.choice(XBZRLE_CACHES)},
        Moment(after_seconds=chance.between(0, toggling_end)),
        CACHE_RESIZED,
    )
    switchover = Change(
        {SWITCHOVER: chance.happens(0.5)},
        Moment(after_seconds=chance.between(0, toggling_end)),
        SWITCHOVER_CHANGED,
    )
    drawn = [change for change in (resized, switchover) if chance.happens(0.3)]
    return [*drawn, Change({AVAILABLE: OF_THE_LINK}, Moment(after_seconds=seconds))]


def _bandwidth(rate: int, after_seconds: float) -> Change:
    return Change({"max-bandwidth": rate}, Moment(after_seconds=after_seconds))

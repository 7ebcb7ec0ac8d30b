"""The progress of a migration, its stall and its dirty rate, as text."""

from __future__ import annotations

from fakedirty.model.dirty_rate import DirtyRate
from fakedirty.model.forecast import Estimate
from fakedirty.model.progress import Outlook, Progress
from fakedirty.model.stall import Burden, Stretch

from .numbers import compact
from .sentences import range_words, seconds_words

FULL, EMPTY = "█", "░"


def percent(ratio: float) -> str:
    """A progress in percent, rounded down: 100% is the end and nothing else.

    >>> percent(0.629), percent(1)
    ('62%', '100%')
    """
    return f"{int(100 * ratio + 1e-9)}%"


def bar(ratio: float, width: int) -> str:
    """A progress as a bar of `width` characters, rounded down.

    >>> bar(0.59, 10)
    '█████░░░░░'
    """
    full = int(width * ratio + 1e-9)
    return FULL * full + EMPTY * (width - full)


def progress_words(of: Progress) -> str:
    """When the migration will end, in a few words; empty where nothing is known, and where it has ended."""
    match of.outlook:
        case Outlook.ENDS:
            return _end(of)
        case Outlook.NO_END:
            return "it will not end" if of.certain else "it will probably not end"
        case Outlook.WITHDRAWN:
            return "no time left is known: the verdict is withdrawn"
        case Outlook.SWITCHOVER:
            return "the guest is stopped: QEMU sends the rest"
        case Outlook.POSTCOPY:
            return "in postcopy: no end is predicted"
        case _:
            return ""


def _end(of: Progress) -> str:
    left = of.left_seconds
    assert left is not None
    if (late := of.overdue_seconds) is None or round(late) < 1:
        return f"{'' if of.certain else 'probably '}{_left(left)}"
    worst = f", {_rounded(left.high)} left at worst" if left.high is not None and round(left.high) >= 1 else ""
    return f"overdue by {_rounded(late)}{worst}"


def _left(left: Estimate) -> str:
    """A time left with its range, if that is wide, and reads differently.

    >>> _left(Estimate(9.2, 12.1, 20.4)), _left(Estimate(0, 12.1, None)), _left(Estimate(299, 300, 301))
    ('about 12 s left (9 s to 20 s)', 'about 12 s left (at best 0 s)', 'about 5 min left')
    >>> _left(Estimate(0, 0.2, 0.3)), _left(Estimate(0, 0.2, 4))
    ('less than 1 s left', 'less than 1 s left (0 s to 4 s)')
    >>> _left(Estimate(11.9, 12.1, None)), _left(Estimate(1.6, 1.9, 2.1))
    ('about 12 s left', 'about 2 s left')
    """
    words = "less than 1 s left" if round(left.expected) < 1 else f"about {_rounded(left.expected)} left"
    return f"{words}{range_words(left, _rounded)}"


def _rounded(seconds: float) -> str:
    """A time in whole seconds: it counts down while it is read.

    >>> _rounded(0.2), _rounded(11.6), _rounded(119.7)
    ('0 s', '12 s', '2 min')
    """
    return seconds_words(round(seconds)) if round(seconds) >= 120 else f"{seconds:.0f} s"


def stall_words(of: Stretch | None) -> str:
    """The stall, in a sentence; empty where there is none."""
    if of is None or not of.is_stall:
        return ""
    number = of.since_round
    if of.burden is Burden.FOUND:
        return f"Since round {number} each round leaves as much as round {number} found: {of.pages:,} dirty pages."
    return f"Since round {number} each round sends as much as round {number} did: {of.pages:,} pages."


def dirty_rate_words(pages: float) -> str:
    """A rate of pages.

    >>> dirty_rate_words(31_234), dirty_rate_words(0.2), dirty_rate_words(0)
    ('31.2k pages/s', 'under 1 page/s', '0 pages/s')
    """
    if 0 < pages < 1:
        return "under 1 page/s"
    return f"{compact(pages)} pages/s"


def rates_by_block(of: DirtyRate) -> list[tuple[str, str]]:
    """Name and rate of each RAM block, where they are known."""
    return [(block, dirty_rate_words(pages)) for block, pages in (of.blocks or {}).items()]

"""Which plans of the fuzz can come to what a variant breaks: only these are tried on it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, islice

from fakedirty.lab.fuzz.coverage import BLOCKS_CHANGED
from fakedirty.lab.fuzz.draw import draw
from fakedirty.lab.fuzz.multifd import Multifd
from fakedirty.lab.fuzz.plan import Plan, Possibilities
from fakedirty.lab.fuzz.route import FileRoute, HybridRoute

MOST_DRAWN = 50  # plans for each one that is wanted


def _with(has: Callable[[Multifd], bool]) -> Callable[[Plan], bool]:
    return lambda plan: plan.multifd is not None and has(plan.multifd)


def _file(plan: Plan) -> bool:
    return isinstance(plan.way, FileRoute)


def _changes(plan: Plan, feature: str) -> bool:
    return any(change.feature == feature for attempt in plan.attempts for change in attempt.changes)


#: By the word that a variant has for it.
PLANS: dict[str, Callable[[Plan], bool]] = {
    "": lambda _plan: True,
    "multifd": _with(lambda _multifd: True),
    "several channels": _with(lambda multifd: multifd.channels > 1),
    "zero pages by channels": _with(lambda multifd: multifd.zero_pages == "multifd"),
    "zero pages by the migration thread": _with(lambda multifd: multifd.zero_pages == "legacy"),
    "several channels and another block": lambda plan: (
        plan.multifd is not None and plan.multifd.channels > 1 and _changes(plan, BLOCKS_CHANGED)
    ),
    "no compression": lambda plan: plan.multifd is not None and plan.multifd.compression == "none" and not _file(plan),
    "zlib": _with(lambda multifd: multifd.compression == "zlib"),
    "zstd": _with(lambda multifd: multifd.compression == "zstd"),
    "file": _file,
    "file with multifd": lambda plan: _file(plan) and plan.multifd is not None,
    "file without multifd": lambda plan: _file(plan) and plan.multifd is None,
    "file with direct-io": lambda plan: isinstance(plan.way, FileRoute) and plan.way.direct,
    "postcopy": lambda plan: isinstance(plan.way, HybridRoute),
    "postcopy with multifd": lambda plan: isinstance(plan.way, HybridRoute) and plan.multifd is not None,
}


def indexes_of(plans: str, seed: int, most: int, allowed: Possibilities) -> list[int]:
    """The first `most` migrations of a seed whose plans are of that kind; none where QEMU allows none."""
    drawn = islice(count(), most * MOST_DRAWN)
    return list(islice((index for index in drawn if PLANS[plans](draw(seed, index, allowed))), most))

"""The kinds of fuzz plans that can exercise what a variant breaks. Only these are run on it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, islice

from fakedirty.lab.fuzz.plans.draw_attempt import BLOCKS_CHANGED
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.multifd import Multifd
from fakedirty.lab.fuzz.plans.plan import Plan
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.lab.fuzz.plans.route import FileRoute, HybridRoute

MOST_DRAWN = 50  # plans for each one that is run


def _with(condition: Callable[[Multifd], bool]) -> Callable[[Plan], bool]:
    return lambda plan: plan.multifd is not None and condition(plan.multifd)


def _into_file(plan: Plan) -> bool:
    return isinstance(plan.route, FileRoute)


def _changes(plan: Plan, feature: str) -> bool:
    return any(change.feature == feature for attempt in plan.attempts for change in attempt.changes)


#: By the name that variants use.
PLANS: dict[str, Callable[[Plan], bool]] = {
    "": lambda _plan: True,
    "multifd": _with(lambda _multifd: True),
    "several channels": _with(lambda multifd: multifd.channels > 1),
    "zero pages by channels": _with(lambda multifd: multifd.zero_pages == "multifd"),
    "zero pages by the migration thread": _with(lambda multifd: multifd.zero_pages == "legacy"),
    "several channels and another block": lambda plan: (
        plan.multifd is not None and plan.multifd.channels > 1 and _changes(plan, BLOCKS_CHANGED)
    ),
    "no compression": lambda plan: (
        plan.multifd is not None and plan.multifd.compression == "none" and not _into_file(plan)
    ),
    "zlib": _with(lambda multifd: multifd.compression == "zlib"),
    "zstd": _with(lambda multifd: multifd.compression == "zstd"),
    "file": _into_file,
    "file with multifd": lambda plan: _into_file(plan) and plan.multifd is not None,
    "file without multifd": lambda plan: _into_file(plan) and plan.multifd is None,
    "file with direct-io": lambda plan: isinstance(plan.route, FileRoute) and plan.route.direct,
    "postcopy": lambda plan: isinstance(plan.route, HybridRoute),
    "postcopy with multifd": lambda plan: isinstance(plan.route, HybridRoute) and plan.multifd is not None,
}


def plan_indexes(kind: str, seed: int, most: int, possibilities: Possibilities) -> list[int]:
    """The first indexes of a seed whose plans are of a kind.

    Args:
        kind: a key of PLANS.
        seed: of the plans.
        most: how many indexes at most.
        possibilities: what the plans are drawn from. If QEMU allows no plan of the kind, there are no indexes.
    """
    drawn = islice(count(), most * MOST_DRAWN)
    return list(islice((index for index in drawn if PLANS[kind](draw_plan(seed, index, possibilities))), most))

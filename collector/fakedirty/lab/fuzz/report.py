"""The report on a fuzz run as lines of text: possibilities, each migration, summary, coverage, and histograms."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from fakedirty.model.enums import Mode

from .checks import LEAST_ROUNDS
from .coverage import ENOUGH, Coverage
from .fuzz_run import FuzzRun
from .plans.faults import FAULTS, KILLED_IN_POSTCOPY
from .plans.plan import DIRTY_LIMIT, RING
from .plans.possibilities import Possibilities
from .plans.route import FORBIDDEN, FileRoute
from .result import LEAST_SKIPPED, FuzzResult
from .switchover_costs import LATE, LEAST_LIMIT_SECONDS, SwitchoverHistograms, bins


def possibilities_lines(possibilities: Possibilities) -> list[str]:
    """The possibilities, and what is left out, with the reason."""
    return [
        f"hashes: {', '.join(possibilities.hashes)}; accelerators: {', '.join(possibilities.accelerators)}"
        f"{f', with a {RING} too' if possibilities.ring else ''}; memory: {', '.join(possibilities.memories)}",
        *_route_lines(possibilities),
        *(f"left out: {each}" for each in possibilities.left_out),
    ]


def _route_lines(possibilities: Possibilities) -> list[str]:
    if not (possibilities.compressions or possibilities.routes):
        return []
    compressions, routes = (", ".join(names) or "none" for names in (possibilities.compressions, possibilities.routes))
    return [
        f"compressions of multifd: {compressions}; routes besides a connection: {routes}",
        f"never together, because QEMU refuses it: {', '.join(' with '.join(pair) for pair in FORBIDDEN)}",
    ]


def result_line(result: FuzzResult) -> str:
    """One migration on one line."""
    equal = "no memory" if result.memory is None else "equal" if result.memory.equal else "DIFFERS"
    counted = "" if result.counted else " (not counted)"
    toggles = sum(bool(toggle.kinds) for toggle in result.toggles)
    attempts = len(result.plan.attempts)
    features = ", ".join(feature for feature in result.plan.features if not feature.endswith(" off"))
    features += "" if result.postcopy_pages is None else f", {result.postcopy_pages:,} left to postcopy"
    features += "".join(f", {how} {moment}" for how, moment in result.faults)
    retries = f", {attempts} attempts" if attempts > 1 else ""
    return (
        f"{result.plan.index:4d}  {equal}{counted}: {result.rounds} rounds, {result.skipped:,} skipped, "
        f"{toggles} toggles; {features}{retries}; {result.seconds:.1f} s"
    )


def failure_lines(result: FuzzResult, options: str) -> list[str]:
    """What was wrong in a migration, its plan, and the command that runs it again with the same `options`."""
    plan = result.plan
    return [
        *(f"  wrong: {error}" for error in result.errors),
        f"  plan: {json.dumps(asdict(plan, dict_factory=_set_fields))}",
        f"  again: fakedirty fuzz --seed {plan.seed} --only {plan.index}{options}",
    ]


def _set_fields(fields: list[tuple[str, object]]) -> dict[str, object]:
    """The fields that are set, modes as words."""
    return {name: str(value) if isinstance(value, Mode) else value for name, value in fields if value is not None}


def summary_lines(run: FuzzRun) -> list[str]:
    """How many migrations ran and counted, what went wrong, and how much was covered."""
    results = run.results
    pages = sum(len(result.memory.differing) for result in results if result.memory)
    cells = len(run.coverage.features) * len(run.coverage.kinds)
    return [
        f"{len(results)} migrations, {run.counted} counted ({LEAST_ROUNDS} rounds and {LEAST_SKIPPED:,} skipped pages, "
        f"or more); wrong pages: {pages}; wrong migrations: {len(run.wrong_indexes)}",
        f"switchovers of a stopped guest whose pages were compared with the expected ones: "
        f"{sum(result.checked_expectation for result in results)}",
        *_late_lines(results),
        *_dirty_limit_lines(results),
        *_fault_lines(results),
        f"coverage: {cells - len(run.coverage.cells_below())} of {cells} cells have {ENOUGH} migrations or more",
    ]


def _late_lines(results: Sequence[FuzzResult]) -> list[str]:
    """How many switchovers took longer than their limit, of those whose limit is long enough, and which.

    Where nothing is skipped, or fake-dirty-switchover is off, QEMU decides as it does without the patch series.
    """
    lines = []
    for aware, decision in ((True, "decided by the patch series"), (False, "decided by QEMU's own estimate")):
        timed = [
            (result.plan.index, cost)
            for result in results
            if (cost := result.switchover) and cost.timed and cost.aware is aware
        ]
        late = [str(index) for index, cost in timed if cost.late]
        named = f" (migrations {', '.join(late)})" if late else ""
        lines.append(
            f"switchovers with a limit of {LEAST_LIMIT_SECONDS * 1e3:.0f} ms or more, {decision}: {len(timed)}; "
            f"more than {LATE - 1:.0%} above it: {len(late)}{named}"
        )
    return lines


def _dirty_limit_lines(results: Sequence[FuzzResult]) -> list[str]:
    """How often dirty-limit held vCPUs back; nothing if no migration had it."""
    limited = [result for result in results if result.plan.capabilities.get(DIRTY_LIMIT)]
    held = sum(result.dirty_limit_held for result in limited)
    return [f"migrations with {DIRTY_LIMIT}: {len(limited)}; in which it held vCPUs back: {held}"] if limited else []


def _fault_lines(results: Sequence[FuzzResult]) -> list[str]:
    """How many migrations went into a file and to postcopy, and which faults took effect when."""
    lines = []
    if files := sum(isinstance(result.plan.route, FileRoute) for result in results):
        lines.append(f"saved into a file and restored: {files}")
    if left := [result.postcopy_pages for result in results if result.postcopy_pages is not None]:
        lines.append(f"left to postcopy: {len(left)}, with {sum(left):,} pages")
    counts = Counter(fault for result in results for fault in result.faults)
    for how in FAULTS:
        moments = ", ".join(f"{count} {moment}" for (fault, moment), count in sorted(counts.items()) if fault == how)
        lines += [f"{how}: {moments}"] if moments else []
    return lines


def coverage_lines(coverage: Coverage) -> list[str]:
    """The table of coverage. Cells with too few migrations are marked."""
    head = "".join(f"{kind:>15}" for kind in coverage.kinds)
    lines = [f"in how many counted migrations a feature met a toggle, <: below {ENOUGH}"]
    if KILLED_IN_POSTCOPY in coverage.features:
        lines.append(f"({KILLED_IN_POSTCOPY}: migrations in which there was no memory to compare)")
    lines.append(f"{'':28}{head}")
    for feature in coverage.features:
        counts = [coverage.count(feature, kind) for kind in coverage.kinds]
        cells = "".join(f"{'<' if count < ENOUGH else '':>11}{count:4d}" for count in counts)
        lines.append(f"{feature:28}{cells}")
    return lines


def switchover_histograms(results: Sequence[FuzzResult]) -> SwitchoverHistograms:
    """The histograms of all switchovers that QEMU reported."""
    return SwitchoverHistograms(result.switchover for result in results if result.switchover)


def histogram_lines(histograms: SwitchoverHistograms) -> list[str]:
    """The histograms, one on each line."""
    head = "".join(f"{name:>8}" for name in bins())
    lines = ["switchovers by their real cost, as a multiple of the expected one, where the guest", f"{'':38}{head}"]
    for name, row in histograms.rows().items():
        lines.append(f"{name:38}" + "".join(f"{count:8d}" for count in row.values()))
    return lines

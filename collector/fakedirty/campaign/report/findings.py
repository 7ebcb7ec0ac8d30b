"""The findings of a campaign and their limits, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from fakedirty.model.totals import Outcome
from fakedirty.record.load import rows

from .cells import Cell
from .estimate_text import Row, counted, median_text
from .metrics import TOTAL_TIME, numbers
from .statistics import CONFIDENCE, Values, coverage, smallest_p

_TOTALS = {
    Outcome.MISSING: "recorded other pages than QEMU's totals count",
    Outcome.PARTIAL: "recorded only a part of the pages that QEMU sent",
    Outcome.UNCHECKED: "could not be compared with QEMU's own totals",
}


def alarms(runs: pd.DataFrame, rounds: pd.DataFrame) -> Iterator[str]:
    """What a reader must know before anything else."""
    differing = runs[numbers(runs["memory_equal"]) == 0]
    if len(differing):
        ended = counted(len(differing), "run")
        yield f"The memory of source and destination differs after {ended}: {_names(differing)}."
    collided = runs[numbers(runs["false_equal_pages"]) > 0]
    if len(collided):
        pages = counted(int(numbers(collided["false_equal_pages"]).sum()), "page")
        yield f"The audit found {pages} in {counted(len(collided), 'run')} that a hash wrongly took for equal."
    invalid = rounds[numbers(rounds["valid"]) == 0]
    if len(invalid):
        yield (
            f"{counted(len(invalid), 'round')} of {counted(invalid['run'].nunique(), 'run')} are invalid: "
            f"counts do not add up, or events were lost. The figures include these runs; rounds.csv has the reasons."
        )
    for totals, problem in _TOTALS.items():
        found = runs[runs["totals"] == str(totals)]
        if len(found):
            yield (
                f"{counted(len(found), 'run')} {problem}: {_names(found)}. The figures include them; migration.json "
                f"of each has the reason."
            )


def summary(runs: pd.DataFrame, planned: int) -> Iterator[str]:
    """How far the campaign is, how its runs ended, and whether their memory was equal."""
    if runs.empty:
        yield "No run has been made yet."
        return
    made = f"{len(runs):,} of {planned:,} runs" if planned != len(runs) else counted(len(runs), "run")
    ends = runs["outcome"].value_counts()
    completed, cut, failed = (int(ends.get(end, 0)) for end in ("completed", "time-limit", "failed"))
    yield (
        f"Made: {made}. {completed:,} completed, {cut:,} did not end within their time limit, "
        f"{failed:,} failed. The figures include all of them; those that did not complete are censored."
    )
    equal = numbers(runs["memory_equal"])
    if compared := int((~np.isnan(equal)).sum()):
        yield f"Memory was compared after {counted(compared, 'run')}, and was equal in {int((equal == 1).sum()):,}."


def by_cell(cells: Sequence[Cell], medians: pd.DataFrame, baseline: str | None) -> Iterator[str]:
    """For each cell, the treatment with the shortest total time, beside the baseline."""
    total = medians[medians["metric"] == TOTAL_TIME]
    for cell in cells:
        own = cell.select(total)
        ended = own[own["median"] < math.inf]
        if ended.empty:
            limits = numbers(cell.runs["time_limit_seconds"])
            yield f"{cell.title}: no treatment completed in half of its runs{_within(limits)}."
            continue
        best = min(rows(ended), key=lambda row: float(row["median"]))
        parts = [f"{cell.title}: {best['treatment']} had the shortest total time, {_total(cell, best)}"]
        parts += [
            f"{baseline}: {_total(cell, row)}"
            for row in rows(own)
            if row["treatment"] == baseline and row["treatment"] != best["treatment"]
        ]
        yield f"{'; '.join(parts)}."


def limits(cells: Sequence[Cell], treatments: Sequence[str], baseline: str | None) -> Iterator[str]:
    """What the number of runs is too small to show."""
    sizes = [len(runs) for cell in cells for name in treatments if len(runs := cell.of(name))]
    if not sizes:
        return
    fewest = min(sizes)
    if coverage(fewest) < CONFIDENCE:
        yield (
            f"Some medians are of {counted(fewest, 'run')}. An interval made by resampling is never wider than the "
            f"range of the runs, and the range of {fewest} has the true median in {100 * coverage(fewest):.4g} % of "
            f"cases at most: with fewer than 6 runs, intervals are narrower than 95 % ones should be."
        )
    if baseline is not None and len(treatments) > 1 and smallest_p(fewest) > 1 - CONFIDENCE:
        yield (
            f"With {counted(fewest, 'block')} no test of paired differences can give a p below "
            f"{smallest_p(fewest):.3g}, however clear the effect; 6 blocks are the fewest that allow p < 0.05, before "
            f"any correction."
        )


def _names(runs: pd.DataFrame) -> str:
    return ", ".join(str(run) for run in runs["run"])


def _total(cell: Cell, row: Row) -> str:
    runs = cell.of(row["treatment"])
    return f"{median_text(row)}, {(runs['outcome'] == 'completed').sum()} of {counted(len(runs), 'run')} completed"


def _within(limits: Values) -> str:
    known = [f"{limit:g}" for limit in np.unique(limits[~np.isnan(limits)])]
    return f" within {' or '.join(known)} s" if known else ""

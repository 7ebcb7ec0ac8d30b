"""Medians by treatment, and what a treatment changes against the baseline, as frames in long form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from .cells import Cell
from .columns import DIFFERENCES, MEDIANS
from .metrics import METRICS, Metric, Sample
from .statistics import cliffs_delta, holm, median, paired

Row = dict[str, object]


def medians(cells: Sequence[Cell], treatments: Sequence[str]) -> pd.DataFrame:
    """A row for each cell, treatment and metric of which any run has a figure.

    `median` is infinite where so many runs were cut off that it was not reached; it is then greater than `at_least`.
    """
    rows = [
        row
        for cell in cells
        for treatment in treatments
        for runs in [cell.of(treatment)]
        for metric in METRICS
        if (row := _median(cell, treatment, metric, runs))
    ]
    return pd.DataFrame(rows, columns=[column.name for column in MEDIANS])


def differences(cells: Sequence[Cell], treatments: Sequence[str], baseline: str | None) -> pd.DataFrame:
    """A row for each cell, metric and treatment that has at least one block in common with `baseline`.

    `p_holm` is corrected over all comparisons of the same metric.
    """
    rows = [
        row
        for cell in cells
        for treatment in treatments
        if baseline is not None and treatment != baseline
        for sides in [(cell.of(treatment), cell.of(baseline))]
        for metric in METRICS
        if (row := _difference(cell, (treatment, baseline), metric, sides))
    ]
    frame = pd.DataFrame(rows, columns=[column.name for column in DIFFERENCES])
    for _, tested in frame[frame["p"].notna()].groupby("metric"):
        frame.loc[tested.index, "p_holm"] = holm([float(p) for p in tested["p"]])
    return frame


def _median(cell: Cell, treatment: str, metric: Metric, runs: pd.DataFrame) -> Row | None:
    sample = metric.sample(runs)
    if not len(sample.values):
        return None
    estimate = median(sample.values, sample.censored, sample.unended)
    return cell.factors | {
        "treatment": treatment,
        "metric": metric.column,
        "unit": metric.unit,
        "runs": len(runs),
        "used": len(sample.values),
        "censored": int(sample.censored.sum()),
        "median": estimate.value,
        "at_least": estimate.bound,
        "interval_low": estimate.low,
        "interval_high": estimate.high,
    }


def _difference(
    cell: Cell, names: tuple[str, str], metric: Metric, sides: tuple[pd.DataFrame, pd.DataFrame]
) -> Row | None:
    own, base = map(metric.sample, sides)
    pairs = list(_pairs(cell.runs, own, base))
    if not pairs:
        return None
    mine, theirs = (np.array(side) for side in zip(*pairs, strict=True))
    treated, treated_cut = own.values[mine], own.censored[mine]
    before, before_cut = base.values[theirs], base.censored[theirs]
    difference = paired(treated, treated_cut, before, before_cut)
    ratio_least, ratio_most = _ratio(treated, treated_cut, before, before_cut)
    return cell.factors | {
        "treatment": names[0],
        "baseline": names[1],
        "metric": metric.column,
        "unit": metric.unit,
        "pairs": difference.pairs,
        "greater": difference.up,
        "smaller": difference.down,
        "difference_least": difference.least,
        "difference_most": difference.most,
        "interval_low": difference.low,
        "interval_high": difference.high,
        "ratio_least": ratio_least,
        "ratio_most": ratio_most,
        "cliffs_delta": cliffs_delta(own.values, own.censored, base.values, base.censored),
        "test": difference.test,
        "p": difference.p,
        "p_holm": None,
        "smallest_p": difference.smallest_p,
    }


def _pairs(runs: pd.DataFrame, own: Sample, base: Sample) -> Iterator[tuple[int, int]]:
    """Positions in both samples of what was run in the same block."""
    at = {_block(runs, row): position for position, row in enumerate(base.rows)}
    for position, row in enumerate(own.rows):
        if (other := at.get(_block(runs, row))) is not None:
            yield position, other


def _block(runs: pd.DataFrame, row: object) -> tuple[object, object]:
    return runs.at[row, "block"], runs.at[row, "repetition"]


def _ratio(
    treated: np.ndarray, treated_cut: np.ndarray, before: np.ndarray, before_cut: np.ndarray
) -> tuple[float | None, float | None]:
    """The median of the paired ratios lies between these; None where a pair has nothing to divide by."""
    if not (before > 0).all():
        return None, None
    ratio = treated / before
    least, most = np.where(before_cut, 0, ratio), np.where(treated_cut, np.inf, ratio)
    return float(np.median(least)), float(np.median(most))

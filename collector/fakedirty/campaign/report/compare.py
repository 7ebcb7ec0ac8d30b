"""Comparison of treatments: their medians, and their differences to the baseline, as frames in long form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .cells import BASELINE, Cell, cells, treatments
from .columns import DIFFERENCES, MEDIANS
from .metrics import METRICS, MetricSample, RunMetric
from .statistics import cliffs_delta, holm, median, paired

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The treatments of a campaign, compared.

    Attributes:
        cells: the cells that were run.
        treatments: the treatments that were run, the baseline first.
        baseline: the treatment that the others are compared with: vanilla, or else the first. None without runs.
        medians: a row for each cell, treatment and metric, with the columns MEDIANS.
        differences: a row for each cell, treatment and metric, with the columns DIFFERENCES.
    """

    cells: Sequence[Cell]
    treatments: Sequence[str]
    baseline: str | None
    medians: pd.DataFrame
    differences: pd.DataFrame


def compare(runs: pd.DataFrame, wanted: Sequence[str] = ()) -> Comparison:
    """Compare the treatments of a campaign.

    Args:
        runs: the runs of a campaign, a row each, with the columns of ``campaign.columns.RUNS``.
        wanted: the order in which the treatments are listed.
    """
    found, names = cells(runs), treatments(runs, wanted)
    baseline = BASELINE if BASELINE in names else next(iter(names), None)
    return Comparison(found, names, baseline, medians(found, names), differences(found, names, baseline))


def medians(cells: Sequence[Cell], treatments: Sequence[str]) -> pd.DataFrame:
    """The median of each metric.

    Returns:
        A row for each cell, treatment and metric of which at least one run has a value. `median` is infinite if too
        many runs were cut off to reach it; the true one is then greater than `at_least`.
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
    """The difference of each treatment to the baseline.

    Returns:
        A row for each cell, treatment and metric, if at least one block has a value of both. `p_holm` is corrected
        over all comparisons of the same metric.
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


def _median(cell: Cell, treatment: str, metric: RunMetric, runs: pd.DataFrame) -> Row | None:
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
    cell: Cell, names: tuple[str, str], metric: RunMetric, sides: tuple[pd.DataFrame, pd.DataFrame]
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


def _pairs(runs: pd.DataFrame, own: MetricSample, base: MetricSample) -> Iterator[tuple[int, int]]:
    """The positions, in both samples, of the runs of one block."""
    at = {_block(runs, row): position for position, row in enumerate(base.rows)}
    for position, row in enumerate(own.rows):
        if (other := at.get(_block(runs, row))) is not None:
            yield position, other


def _block(runs: pd.DataFrame, row: object) -> tuple[object, object]:
    return runs.at[row, "block"], runs.at[row, "repetition"]


def _ratio(
    treated: np.ndarray, treated_cut: np.ndarray, before: np.ndarray, before_cut: np.ndarray
) -> tuple[float | None, float | None]:
    """The bounds of the median of the paired ratios; None if a value of the baseline is 0."""
    if not (before > 0).all():
        return None, None
    ratio = treated / before
    least, most = np.where(before_cut, 0, ratio), np.where(treated_cut, np.inf, ratio)
    return float(np.median(least)), float(np.median(most))

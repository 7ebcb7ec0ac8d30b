"""Charts of the runs: fake pages by workload and memory, and a metric by treatment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fakedirty.format.numbers import compact

from .cells import Cell
from .drawing import Drawing, canvas, label
from .fills import CLASSES, CUT_OFF, MEASURED, TEXT
from .metrics import RunMetric, numbers
from .statistics import median

ROW, AROUND = 0.3, 0.95  # inches


def fake_pages(cells: Sequence[Cell], treatment: str) -> Drawing | None:
    """The share of fake pages among those that a treatment visited again: a bar for each cell, a dot for each run.

    Returns:
        None if no run counted changed and fake pages.
    """
    counted = [(cell, runs) for cell in cells if not (runs := _classified(cell.of(treatment))).empty]
    if not counted:
        return None
    descriptions = []
    with canvas(AROUND + ROW * 1.25 * len(counted)) as drawn:
        axes = drawn.rows[0]
        for place, (cell, runs) in enumerate(counted):
            fake, changed = numbers(runs["fake_pages"]), numbers(runs["changed_pages"])
            shares = 100 * fake / (fake + changed)
            share = float(np.median(shares))
            for column, left, width in (("fake_pages", 0.0, share), ("changed_pages", share, 100 - share)):
                name, fill = CLASSES[column]
                axes.barh(
                    place, width, 0.72, left, color=fill.colour, hatch=fill.hatch, label=name if place == 0 else None
                )
            axes.plot(shares, _spread(place, len(shares)), "o", color=TEXT, markeredgecolor="white", markersize=4.5)
            descriptions.append(f"{cell.title}: {share:.0f} % of {compact(float(np.median(fake + changed)))} pages")
        axes.set_yticks(range(len(counted)), [_short(cell, cells) for cell, _ in counted])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the pages visited again; dots: runs")
        drawn.figure.legend(loc="outside upper right", ncols=2)
        return drawn.drawing(treatment, f"Fake pages under {treatment}. {'; '.join(descriptions)}")


def by_treatment(cell: Cell, treatments: Sequence[str], metric: RunMetric) -> Drawing | None:
    """A metric in a cell: a mark for each run, the median of each treatment and its interval.

    Returns:
        None if no run has a value.
    """
    samples = {name: sample for name in treatments if len((sample := metric.sample(cell.of(name))).values)}
    if not samples:
        return None
    descriptions = []
    with canvas(AROUND + ROW * 1.2 * len(samples)) as drawn:
        axes = drawn.rows[0]
        for place, (name, sample) in enumerate(samples.items()):
            values, cut = sample.values * metric.scale, sample.censored
            estimate = median(values, cut, sample.unended)
            marks = _spread(place, len(values))
            axes.plot(values[~cut], marks[~cut], "o", color=MEASURED, markersize=4, alpha=0.8)
            axes.plot(values[cut], marks[cut], ">", color=CUT_OFF, markersize=5, markerfacecolor="white", clip_on=False)
            line = place + 0.3
            if estimate.low is not None and estimate.high is not None and np.isfinite(estimate.low):
                high = min(estimate.high, float(values.max()))
                axes.plot([estimate.low, high], [line] * 2, color=TEXT, linewidth=2, solid_capstyle="butt")
            middle, mark, more = (estimate.value, "|", "") if estimate.reached else (estimate.bound, ">", "more than ")
            axes.plot([middle], [line], mark, color=TEXT, markersize=8, markeredgewidth=2, clip_on=False)
            value = f"{more}{middle:.3g} {metric.axis}"
            descriptions.append(f"{name}: median {value} of {len(values)} runs, {cut.sum()} cut off")
        axes.set_yticks(range(len(samples)), [label(name, 24) for name in samples])
        axes.set_ylim(len(samples) - 0.4, -0.6)
        furthest = max(float(sample.values.max()) * metric.scale for sample in samples.values())
        axes.set_xlim(0, 1.06 * furthest or 1)
        axes.set_xlabel(f"{metric.title}, {metric.axis}")
        return drawn.drawing(metric.title, f"{metric.title}, {cell.title}. {'; '.join(descriptions)}")


def _classified(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that visited pages again and counted which of them were fake."""
    again = numbers(runs["fake_pages"]) + numbers(runs["changed_pages"])
    return runs[~np.isnan(again) & (again > 0)]


def _spread(place: int, count: int) -> np.ndarray:
    """Heights of the marks of one row: each a little below the one before, so that equal values stay visible."""
    return place + (np.linspace(-0.22, 0.12, count) if count > 1 else np.zeros(1))


def _short(cell: Cell, cells: Sequence[Cell]) -> str:
    """A cell, named by the factors that differ between cells."""
    varied = [
        name for name in cell.factors if name == "workload" or len({str(other.factors[name]) for other in cells}) > 1
    ]
    return label(cell.named(varied), 34)

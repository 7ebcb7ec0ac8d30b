"""Charts over time: the rounds of a run by class of page, and the throughput of the guest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fakedirty.campaign.workloads.throughput import DESTINATION, SOURCE
from fakedirty.format.numbers import compact

from .cells import Cell
from .drawing import Canvas, Drawing, canvas, label
from .fills import ARRIVED, CLASSES, MARK, MEASURED, NOT_CLASSIFIED, QUIET, TEXT
from .metrics import METRICS, TOTAL_TIME, numbers

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

ROW, AROUND = 1.25, 0.5  # inches
BINS = 60
TOGGLE, BEGINS = "toggle", "start"
SIDES = {SOURCE: (MEASURED, "-"), DESTINATION: (ARRIVED, (0, (2, 0.5)))}  # colour and dashes

#: seconds, and the value at each
Line = tuple[np.ndarray, np.ndarray]
STACKED = (*(name for name, _ in CLASSES.values()), NOT_CLASSIFIED[0], TOGGLE)
(TOTAL,) = (metric for metric in METRICS if metric.column == TOTAL_TIME)


def rounds_over_time(
    cell: Cell, treatments: Sequence[str], rounds: pd.DataFrame, toggles: pd.DataFrame
) -> Drawing | None:
    """The rounds of one run of each treatment: the run whose total time is the middle one.

    Returns:
        None if no run has rounds.
    """
    chosen = {name: run for name in treatments if (run := _middle_run(cell.of(name), set(rounds["run"]))) is not None}
    if not chosen:
        return None
    descriptions = []
    with canvas(AROUND + ROW * len(chosen), len(chosen)) as drawn:
        for axes, (name, run) in zip(drawn.rows, chosen.items(), strict=True):
            own = rounds[rounds["run"] == run["run"]].sort_values("round")
            _stack(axes, own)
            for seconds in numbers(toggles[toggles["run"] == run["run"]]["seconds"]):
                axes.axvline(seconds, color=MARK, linestyle="--", linewidth=1.4, label=TOGGLE)
            ended = "completed" if run["outcome"] == "completed" else "not completed"
            axes.set_title(label(f"{name}: run {run['run']}, {len(own)} rounds, {ended}", 60))
            axes.yaxis.set_major_formatter(lambda value, _: compact(value))
            axes.set_xlim(left=0)
            axes.locator_params(axis="y", nbins=3)
            descriptions.append(f"{name}: {len(own)} rounds, {ended}")
        drawn.rows[-1].set_xlabel("seconds since the start; each run has its own scale")
        drawn.figure.supylabel("pages visited in a round", fontsize=9)
        _legend(drawn, STACKED)
        return drawn.drawing("Rounds over time", f"Rounds over time, {cell.title}. {'; '.join(descriptions)}")


def service_over_time(cell: Cell, treatments: Sequence[str], service: pd.DataFrame) -> Drawing | None:
    """The throughput of the guest, as a share of that before the migration.

    Each run has a thin line on each side, and the median of the runs a thick one. Between the sides lie the downtime
    and the time in which the memories were compared.

    Returns:
        None if no run has samples before its migration.
    """
    shares = {name: lines for name in treatments if (lines := _shares(cell.of(name), service))}
    if not shares:
        return None
    descriptions = []
    with canvas(AROUND + ROW * len(shares), len(shares)) as drawn:
        for axes, (name, lines) in zip(drawn.rows, shares.items(), strict=True):
            runs = len(lines[SOURCE])
            for side, (colour, dashes) in SIDES.items():
                for seconds, share in lines[side]:
                    axes.plot(seconds, share, color=QUIET, linewidth=0.7, alpha=0.6)
                if lines[side]:
                    middle, of_runs = _median_line(lines[side])
                    axes.plot(middle, of_runs, color=colour, linestyle=dashes, linewidth=2, label=f"on the {side}")
                    if side == SOURCE:
                        descriptions.append(f"{name}: lowest median of {runs} runs {of_runs.min():.0f} %")
            axes.axvline(0, color=MARK, linestyle="--", linewidth=1.4, label=BEGINS)
            highest = max(float(share.max()) for each in lines.values() for _, share in each)
            axes.set_ylim(0, max(110, 1.02 * highest))
            axes.locator_params(axis="y", nbins=4)
            axes.set_title(label(f"{name}: {runs} run{'s' if runs > 1 else ''}", 60))
            axes.grid(axis="y")
        drawn.rows[-1].set_xlabel("seconds since the start of the migration")
        drawn.figure.supylabel("operations per second, % of those before", fontsize=9, color=TEXT)
        _legend(drawn, (BEGINS, *(f"on the {side}" for side in SIDES)))
        return drawn.drawing("Throughput over time", f"Throughput over time, {cell.title}. {'; '.join(descriptions)}")


def _middle_run(runs: pd.DataFrame, with_rounds: set[object]) -> pd.Series | None:
    """The run with the middle total time; a run that was cut off counts with the time that it had."""
    there = runs[runs["run"].isin(with_rounds)]
    if there.empty:
        return None
    sample = TOTAL.sample(there)
    order = np.lexsort((sample.censored, sample.values))
    middle: pd.Series = there.loc[sample.rows[order[len(order) // 2]]]
    return middle


def _stack(axes: Axes, rounds: pd.DataFrame) -> None:
    """A bar for each round, as wide as the round was long: its pages by class, stacked."""
    start, lasted = numbers(rounds["start_seconds"]), numbers(rounds["duration_seconds"])
    visited = numbers(rounds["visited_pages"])
    counts = {name: (numbers(rounds[column]), fill) for column, (name, fill) in CLASSES.items()}
    classified = ~np.isnan(sum(count for count, _ in counts.values()))
    name, fill = NOT_CLASSIFIED
    counts[name] = (np.where(classified, 0, np.nan_to_num(visited)), fill)
    below = np.zeros(len(rounds))
    for name, (count, fill) in counts.items():
        height = np.where(classified | (name == NOT_CLASSIFIED[0]), np.nan_to_num(count), 0)
        if height.any():
            axes.bar(
                start, height, lasted, below, align="edge", color=fill.colour, hatch=fill.hatch, label=name,
                linewidth=0,
            )  # fmt: skip
        below += height


def _legend(drawn: Canvas, order: Sequence[str]) -> None:
    """A legend of everything in the rows, in the given order."""
    handles: dict[str, Artist] = {}
    for axes in drawn.rows:
        found, texts = axes.get_legend_handles_labels()
        handles |= dict(zip(texts, found, strict=True))
    shown = [text for text in order if text in handles]
    drawn.figure.legend([handles[text] for text in shown], shown, loc="outside upper right", ncols=5, columnspacing=1)


def _shares(runs: pd.DataFrame, service: pd.DataFrame) -> dict[str, list[Line]]:
    """The throughput of each run that has samples before its migration.

    Returns:
        By side, a line for each run: seconds, and % of the median before. Empty if there is no such run.
    """
    lines: dict[str, list[Line]] = {side: [] for side in SIDES}
    for run in runs["run"]:
        own = service[service["run"] == run].dropna(subset=["seconds", "operations_per_second"]).sort_values("seconds")
        before = numbers(own[own["seconds"] < 0]["operations_per_second"])
        if not len(before) or np.median(before) <= 0:
            continue
        for side, of_side in own.groupby("side"):
            share = 100 * numbers(of_side["operations_per_second"]) / np.median(before)
            lines[str(side)].append((numbers(of_side["seconds"]), share))
    return lines if lines[SOURCE] else {}


def _median_line(lines: Sequence[Line]) -> Line:
    """The median of all runs in equal stretches of time; a stretch without samples is left out."""
    seconds, share = (np.concatenate(parts) for parts in zip(*lines, strict=True))
    bins = int(min(BINS, np.median([len(part) for part, _ in lines])))
    edges = np.linspace(seconds.min(), np.nextafter(seconds.max(), np.inf), bins + 1)
    place = np.digitize(seconds, edges) - 1
    filled = np.unique(place)
    middles = [np.median(share[place == number]) for number in filled]
    return ((edges[:-1] + edges[1:]) / 2)[filled], np.array(middles)

"""Runs as they went, drawn: their rounds by class of page, and what the guest got done meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fakedirty.campaign.workloads.throughput import DESTINATION, SOURCE
from fakedirty.format.numbers import compact

from .cells import Cell
from .drawing import Canvas, Drawing, canvas, label
from .fills import ARRIVED, CLASSES, MARK, MEASURED, QUIET, TEXT, UNTOLD
from .metrics import METRICS, TOTAL_TIME, numbers

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

ROW, AROUND = 1.25, 0.5  # inches
BINS = 60
TOGGLE, BEGINS = "toggle", "start"
SIDES = {SOURCE: (MEASURED, "-"), DESTINATION: (ARRIVED, (0, (2, 0.5)))}  # colour and dashes

#: seconds, and what was measured then
Line = tuple[np.ndarray, np.ndarray]
STACKED = (*(word for word, _ in CLASSES.values()), UNTOLD[0], TOGGLE)
(TOTAL,) = (metric for metric in METRICS if metric.column == TOTAL_TIME)


def rounds_over_time(
    cell: Cell, treatments: Sequence[str], rounds: pd.DataFrame, toggles: pd.DataFrame
) -> Drawing | None:
    """The rounds of one run of each treatment, that whose total time is the middle one; None where no run has any."""
    chosen = {name: run for name in treatments if (run := _middle_run(cell.of(name), set(rounds["run"]))) is not None}
    if not chosen:
        return None
    said = []
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
            said.append(f"{name}: {len(own)} rounds, {ended}")
        drawn.rows[-1].set_xlabel("seconds since the start; each run has its own scale")
        drawn.figure.supylabel("pages visited in a round", fontsize=9)
        _legend(drawn, STACKED)
        return drawn.drawing("Rounds over time", f"Rounds over time, {cell.title}. {'; '.join(said)}")


def service_over_time(cell: Cell, treatments: Sequence[str], service: pd.DataFrame) -> Drawing | None:
    """What the guest got done, as a share of what it did before: a line for each run, a thick one for their median.

    Each side has its own lines: between them lie the downtime, and the time in which the memories were compared.
    """
    shares = {name: lines for name in treatments if (lines := _shares(cell.of(name), service))}
    if not shares:
        return None
    said = []
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
                        said.append(f"{name}: at the least {of_runs.min():.0f} % in the median of {runs} runs")
            axes.axvline(0, color=MARK, linestyle="--", linewidth=1.4, label=BEGINS)
            highest = max(float(share.max()) for each in lines.values() for _, share in each)
            axes.set_ylim(0, max(110, 1.02 * highest))
            axes.locator_params(axis="y", nbins=4)
            axes.set_title(label(f"{name}: {runs} run{'s' if runs > 1 else ''}", 60))
            axes.grid(axis="y")
        drawn.rows[-1].set_xlabel("seconds since the start of the migration")
        drawn.figure.supylabel("operations a second, % of those before", fontsize=9, color=TEXT)
        _legend(drawn, (BEGINS, *(f"on the {side}" for side in SIDES)))
        return drawn.drawing("Service over time", f"Service over time, {cell.title}. {'; '.join(said)}")


def _middle_run(runs: pd.DataFrame, with_rounds: set[object]) -> pd.Series | None:
    """The run with the middle total time; of those cut off it is the time they had."""
    there = runs[runs["run"].isin(with_rounds)]
    if there.empty:
        return None
    sample = TOTAL.sample(there)
    order = np.lexsort((sample.censored, sample.values))
    middle: pd.Series = there.loc[sample.rows[order[len(order) // 2]]]
    return middle


def _stack(axes: Axes, rounds: pd.DataFrame) -> None:
    """Each round as wide as it lasted, its pages by class one on top of the other."""
    start, lasted = numbers(rounds["start_seconds"]), numbers(rounds["duration_seconds"])
    visited = numbers(rounds["visited_pages"])
    counts = {word: (numbers(rounds[column]), fill) for column, (word, fill) in CLASSES.items()}
    told = ~np.isnan(sum(count for count, _ in counts.values()))
    word, fill = UNTOLD
    counts[word] = (np.where(told, 0, np.nan_to_num(visited)), fill)
    below = np.zeros(len(rounds))
    for word, (count, fill) in counts.items():
        height = np.where(told | (word == UNTOLD[0]), np.nan_to_num(count), 0)
        if height.any():
            axes.bar(
                start, height, lasted, below, align="edge", color=fill.colour, hatch=fill.hatch, label=word,
                linewidth=0,
            )  # fmt: skip
        below += height


def _legend(drawn: Canvas, order: Sequence[str]) -> None:
    """Of what is in any of the rows."""
    handles: dict[str, Artist] = {}
    for axes in drawn.rows:
        found, texts = axes.get_legend_handles_labels()
        handles |= dict(zip(texts, found, strict=True))
    shown = [text for text in order if text in handles]
    drawn.figure.legend([handles[text] for text in shown], shown, loc="outside upper right", ncols=5, columnspacing=1)


def _shares(runs: pd.DataFrame, service: pd.DataFrame) -> dict[str, list[Line]]:
    """Of each run that was heard before its migration, by side: seconds, and % of the median before. Empty for none."""
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
    """The median of all runs in equal stretches of time, those in which something was heard."""
    seconds, share = (np.concatenate(parts) for parts in zip(*lines, strict=True))
    bins = int(min(BINS, np.median([len(part) for part, _ in lines])))
    edges = np.linspace(seconds.min(), np.nextafter(seconds.max(), np.inf), bins + 1)
    place = np.digitize(seconds, edges) - 1
    heard = np.unique(place)
    middles = [np.median(share[place == number]) for number in heard]
    return ((edges[:-1] + edges[1:]) / 2)[heard], np.array(middles)

"""The result of ``fakedirty what-if`` as a figure: a row for each variant, the recorded migration first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fakedirty.format.palette import PALETTES
from fakedirty.harmless import harmless
from fakedirty.model.forecast import Estimate
from fakedirty.whatif.prediction import RecordedEnd, VariantPrediction, WhatIf

from .what_if import PLAYED, RECORDED, end_text, settings_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, AROUND, ROW = 10.0, 1.1, 0.32  # inches
LONGEST = 40  # characters of a row's name
STYLE: dict[str, object] = {"svg.fonttype": "none", "svg.hashsalt": "fakedirty", "text.parse_math": False}
NO_METADATA = {"Date": None, "Creator": None}
LIGHT = PALETTES["light"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """What one of the charts shows; `scale` makes its unit of seconds or bytes."""

    title: str
    scale: float
    recorded: Callable[[RecordedEnd], float | None]
    predicted: Callable[[VariantPrediction], Estimate | None]


QUANTITIES = (
    Quantity("total time, s", 1.0, lambda end: end.total_seconds, lambda made: made.total_seconds),
    Quantity("downtime, ms", 1e3, lambda end: end.downtime_seconds, lambda made: made.downtime_seconds),
    Quantity("sent, MB", 1e-6, lambda end: end.sent_bytes, lambda made: made.sent_bytes),
)


def draw(found: WhatIf, path: Path) -> None:
    """Write the figure to a file, in the format of its suffix; ValueError if that is not known."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [found.played, *found.variants]
    names = [RECORDED, PLAYED, *(settings_text(each.variant) for each in found.variants)]
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH, AROUND + ROW * len(names)), layout="constrained")
        charts = figure.subplots(1, len(QUANTITIES), sharey=True)
        for axes, quantity in zip(charts, QUANTITIES, strict=True):
            _chart(axes, quantity, found.recorded, rows)
        charts[0].set_yticks(range(len(names)), [harmless(name)[:LONGEST] for name in names])
        charts[0].set_ylim(len(names) - 0.5, -0.5)
        figure.suptitle(harmless(f"{found.recorded.vm} {found.recorded.migration_id}"), fontsize=10, color=LIGHT.text)
        metadata = NO_METADATA if path.suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _chart(axes: Axes, quantity: Quantity, recorded: RecordedEnd, rows: Sequence[VariantPrediction]) -> None:
    """A dot where a value is expected, and a line over its range; an arrow where the range is open above."""
    scale, highest = quantity.scale, 0.0
    if (value := quantity.recorded(recorded)) is not None:
        axes.plot([value * scale], [0], "D", color=LIGHT.text, markersize=6)
        highest = value * scale
    for place, row in enumerate(rows, 1):
        estimate = quantity.predicted(row)
        if estimate is None:
            text = end_text(row)
            axes.annotate(
                text, (0.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=LIGHT.fake
            )
            continue
        high = estimate.expected if estimate.high is None else estimate.high
        axes.plot([estimate.low * scale, high * scale], [place] * 2, color=LIGHT.sent, linewidth=2)
        axes.plot([estimate.expected * scale], [place], "o", color=LIGHT.sent, markersize=5)
        if estimate.high is None:
            axes.plot([high * scale], [place], ">", color=LIGHT.sent, markersize=9, markerfacecolor="none")
        highest = max(highest, high * scale)
    axes.set_xlim(0, 1.08 * highest or 1)
    axes.set_xlabel(quantity.title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color=LIGHT.grid)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)

"""Charts as SVG inside the page: narrow enough for a phone, each with a text that describes it."""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakedirty.harmless import harmless

from .fills import GRID, GROUND, QUIET, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.3  # inches of 96 pixels
STYLE: dict[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.labelcolor": TEXT,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.facecolor": GROUND,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "hatch.color": GROUND,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fakedirty",
    "text.color": TEXT,
    "text.parse_math": False,  # dollars in a name are no formula
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "ytick.major.size": 0,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart. `title` stands above it; `alt` describes it to a reader who does not see it."""

    title: str
    alt: str
    svg: bytes

    @property
    def uri(self) -> str:
        """The chart as the address of an image. Nothing runs in an image."""
        return f"data:image/svg+xml;base64,{b64encode(self.svg).decode()}"


class Canvas:
    """A chart while it is drawn: `rows` of axes, one above the other."""

    def __init__(self, figure: Figure, rows: list[Axes]) -> None:
        self.figure = figure
        self.rows = rows

    def drawing(self, title: str, alt: str) -> Drawing:
        """The chart, as it is drawn by now."""
        out = io.BytesIO()
        with warnings.catch_warnings():
            # the browser that shows the chart has fonts of its own
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            self.figure.savefig(out, format="svg", metadata=NO_METADATA)
        return Drawing(title, alt, out.getvalue())


@contextmanager
def canvas(height: float, rows: int = 1) -> Iterator[Canvas]:
    """An empty canvas. Draw on it, and make the drawing, within the block.

    Args:
        height: in inches.
        rows: how many axes it has, one above the other.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield Canvas(figure, list(figure.subplots(rows, squeeze=False)[:, 0]))


def label(text: str, longest: int = 40) -> str:
    """A name for a chart: one line, only characters that XML allows, at most `longest` of them."""
    clean = harmless(text)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"

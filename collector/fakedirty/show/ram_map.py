"""RAM by round, as characters and as a figure: a row a round, a column a stretch of RAM."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

#: of what was visited, how much was fake: none, and then in equal steps to all
SHADES = ".:-=+*#%@"
NOT_VISITED = " "


class RamMap(Protocol):
    """What is drawn: `visits` and `fake` pages by round and stretch; `columns`, the first page of each stretch."""

    @property
    def rounds(self) -> list[int]:
        """The numbers of the rows."""

    @property
    def columns(self) -> Counts:
        """By stretch."""

    @property
    def visits(self) -> Counts:
        """By round and stretch."""

    @property
    def fake(self) -> Counts:
        """By round and stretch."""


def text_rows(visits: Counts, fake: Counts) -> list[str]:
    """A line of characters for each round."""
    steps = len(SHADES) - 1
    shade = np.where(fake > 0, np.maximum(1, fake * steps // np.maximum(visits, 1)), 0)
    return [
        "".join(SHADES[level] if count else NOT_VISITED for level, count in zip(levels, counts, strict=True))
        for levels, counts in zip(shade, visits, strict=True)
    ]


def draw(picture: RamMap, path: Path) -> None:
    """A figure in the format that the file's name ends with; ValueError for one that is not known."""
    from matplotlib.figure import Figure

    share = np.where(picture.visits > 0, picture.fake / np.maximum(picture.visits, 1), np.nan)
    figure = Figure(figsize=(9, 0.8 + min(9.0, 0.9 + 0.16 * len(picture.rounds))), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#eeeeee")
    # cividis is told apart by all eyes, and in grey
    image = axes.imshow(share, aspect="auto", interpolation="none", cmap="cividis", vmin=0, vmax=1)
    marks = np.unique(np.linspace(0, len(picture.columns) - 1, 6, dtype=int))
    axes.set_xticks(marks, [f"{picture.columns[mark]:,}" for mark in marks])
    rows = np.unique(np.linspace(0, len(picture.rounds) - 1, min(12, len(picture.rounds)), dtype=int))
    axes.set_yticks(rows, [str(picture.rounds[row]) for row in rows])
    axes.set_xlabel("page, RAM blocks by name side by side")
    axes.set_ylabel("round")
    axes.set_title("visited pages that were fake; grey: not visited")
    figure.colorbar(image, ax=axes, label="share fake")
    figure.savefig(path, dpi=150)

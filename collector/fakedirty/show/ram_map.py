"""Draws RAM by round, as characters or as a chart: a row is a round, a column is a stretch of RAM."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

#: characters for the share of fake pages among visited ones: none, then in equal steps to all
SHADES = ".:-=+*#%@"
NOT_VISITED = " "


class RamMap(Protocol):
    """The input of a drawing."""

    @property
    def rounds(self) -> list[int]:
        """The number of each row's round."""

    @property
    def columns(self) -> Counts:
        """First page of each stretch; shape (columns,)."""

    @property
    def visits(self) -> Counts:
        """Visited pages; shape (rounds, columns)."""

    @property
    def fake(self) -> Counts:
        """Fake pages; shape (rounds, columns)."""


def text_rows(visits: Counts, fake: Counts) -> list[str]:
    """One line of characters for each round.

    Args:
        visits: visited pages; shape (rounds, columns).
        fake: fake pages; the same shape.
    """
    steps = len(SHADES) - 1
    shade = np.where(fake > 0, np.maximum(1, fake * steps // np.maximum(visits, 1)), 0)
    return [
        "".join(SHADES[level] if count else NOT_VISITED for level, count in zip(levels, counts, strict=True))
        for levels, counts in zip(shade, visits, strict=True)
    ]


def draw(picture: RamMap, path: Path) -> None:
    """Write a chart to a file, in the format of its suffix; ValueError if that is not known."""
    from matplotlib.figure import Figure

    share = np.where(picture.visits > 0, picture.fake / np.maximum(picture.visits, 1), np.nan)
    figure = Figure(figsize=(9, 0.8 + min(9.0, 0.9 + 0.16 * len(picture.rounds))), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#eeeeee")
    # cividis can be read by colour-blind people, and in grey
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

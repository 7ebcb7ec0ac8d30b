"""Colours of the web page and of charts, light and dark. They differ for colour-blind people too.

The colours are those of the terminal's table: fake red, changed yellow, first dim, saved green. In grey, each is of
another shade; and nothing is shown by colour alone. The contrast to the background is at least 4.5 for text, and 3 for
everything else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours on one background, as ``#rrggbb``; `page.css` has the same for the parts that are not charts."""

    ground: str
    text: str
    grid: str
    first: str
    changed: str
    fake: str
    unclassified: str
    sent: str
    saved: str
    mark: str
    unvisited: str


PALETTES = {
    "light": Palette(
        ground="#ffffff",
        text="#1f2328",
        grid="#e3e6ea",
        first="#868e96",
        changed="#b07d00",
        fake="#9c1f1f",
        unclassified="#5c6670",
        sent="#0b5cad",
        saved="#00704f",
        mark="#8a2b8f",
        unvisited="#e3e6ea",
    ),
    "dark": Palette(
        ground="#16191d",
        text="#e6e8ea",
        grid="#33383f",
        first="#6b7279",
        changed="#ffe9a8",
        fake="#ff7b72",
        unclassified="#aab2ba",
        sent="#6cb2ff",
        saved="#3ecf9b",
        mark="#dd8be0",
        unvisited="#33383f",
    ),
}

#: what is filled has a pattern, too: Bokeh's names
PATTERNS = {"first": "blank", "changed": "dot", "fake": "right_diagonal_line", "unclassified": "vertical_line"}

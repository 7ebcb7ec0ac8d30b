"""Colours of the page and of figures, light and dark: told apart by all eyes, and never by colour alone.

The words are those of the terminal's table: fake red, changed yellow, first dim, saved green; each as a shade that can
be told from the others in grey, too. Every text has a contrast of 4.5 at least to what it stands on, what is drawn 3.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """One of them; the page's `page.css` has the same for what is not drawn."""

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

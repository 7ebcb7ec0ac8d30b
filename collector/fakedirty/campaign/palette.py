"""Colours of the figures: told apart by all eyes, and never by colour alone.

The words are those of the terminal's table: fake red, changed yellow, first dim. Each differs from the others in
grey, too, and has a pattern; text has a contrast of 4.5 at least to what it stands on, what is drawn 3.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fill:
    """How an area is filled: `hatch` is matplotlib's."""

    colour: str
    hatch: str = ""


GROUND, TEXT, QUIET, GRID = "#ffffff", "#1f2328", "#57606a", "#e3e6ea"
MEASURED = "#0b5cad"  # a run, or what is said of several
CUT_OFF = "#9c1f1f"  # a run that did not complete
MARK = "#8a2b8f"  # a toggle, or the end of a migration

#: columns of pages by class, with their word, in the order in which they are stacked
CLASSES = {
    "first_pages": ("first", Fill("#868e96")),
    "changed_pages": ("changed", Fill("#b07d00", "---")),
    "fake_pages": ("fake", Fill("#9c1f1f", "////")),
}
UNTOLD = ("not told apart", Fill("#5c6670", "|||"))

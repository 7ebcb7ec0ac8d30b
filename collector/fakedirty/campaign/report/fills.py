"""How the figures of a report are filled: in the colours of the page on a light ground, with matplotlib's patterns."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.format.palette import PALETTES

LIGHT = PALETTES["light"]


@dataclass(frozen=True, slots=True)
class Fill:
    """How an area is filled: `hatch` is matplotlib's."""

    colour: str
    hatch: str = ""


GROUND, TEXT, QUIET, GRID = LIGHT.ground, LIGHT.text, LIGHT.unclassified, LIGHT.grid
MEASURED = LIGHT.sent  # a run, or what is said of several
ARRIVED = LIGHT.saved  # on the destination
CUT_OFF = LIGHT.fake  # a run that did not complete
MARK = LIGHT.mark  # a toggle, or the end of a migration

#: columns of pages by class, with their word, in the order in which they are stacked
CLASSES = {
    "first_pages": ("first", Fill(LIGHT.first)),
    "changed_pages": ("changed", Fill(LIGHT.changed, "---")),
    "fake_pages": ("fake", Fill(LIGHT.fake, "////")),
}
UNTOLD = ("not told apart", Fill(LIGHT.unclassified, "|||"))

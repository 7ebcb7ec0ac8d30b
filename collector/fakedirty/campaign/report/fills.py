"""The colours and patterns of the charts: those of the web page on a light ground, with matplotlib's hatches."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.format.palette import PALETTES

LIGHT = PALETTES["light"]


@dataclass(frozen=True, slots=True)
class Fill:
    """The fill of an area; `hatch` is matplotlib's."""

    colour: str
    hatch: str = ""


GROUND, TEXT, QUIET, GRID = LIGHT.ground, LIGHT.text, LIGHT.untold, LIGHT.grid
MEASURED = LIGHT.sent  # a run, or the median of several
ARRIVED = LIGHT.saved  # on the destination
CUT_OFF = LIGHT.fake  # a run that did not complete
MARK = LIGHT.mark  # a toggle, or the end of a migration

#: the classes of pages by column: name and fill, in the order in which they are stacked
CLASSES = {
    "first_pages": ("first", Fill(LIGHT.first)),
    "changed_pages": ("changed", Fill(LIGHT.changed, "---")),
    "fake_pages": ("fake", Fill(LIGHT.fake, "////")),
}
NOT_CLASSIFIED = ("not classified", Fill(LIGHT.untold, "|||"))

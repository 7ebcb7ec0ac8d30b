"""The colour of each legend, the same on every dashboard, and the words that are shown for numbers.

Colours are Grafana's own names, so that they follow its theme.
"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

GREY = "#808080"

COLOURS = {
    "first": "blue",
    "changed": "yellow",
    "fake": "red",
    "normal": "blue",
    "zero": GREY,
    "xbzrle": "purple",
    "unchanged": "orange",
    "skipped": "green",
    "sent": "blue",
    "saved": "green",
    "dirty": "orange",
    "left": "purple",
    "without skip": "orange",
    "with skip": "green",
    "hashing": "orange",
}

#: legends that are the value of a label, with the values of that label
VALUES = {"{{class}}": ("first", "changed", "fake")}

Words = dict[str, tuple[str, str]]

MODES: Words = {"0": ("off", GREY), "1": ("observe", "blue"), "2": ("skip", "green")}
VALIDITY: Words = {"0": ("not valid", "red"), "1": ("valid", "green")}
CONVERGENCE: Words = {"0": ("does not", "red"), "1": ("converges", "green"), "2": ("withdrawn", "orange")}
ACTIVITY: Words = {"0": ("over", GREY), "1": ("migrates", "blue")}
UP: Words = {"0": ("down", "red"), "1": ("up", "green")}


def shown_as(words: Words) -> dict[str, object]:
    """The properties of a table column that shows coloured words for its numbers."""
    return {"mappings": [mapping(words)], "custom.cellOptions": {"type": "color-text"}}


def no_number(text: str) -> model.SpecialValueMap:
    """Shows NaN as `text`."""
    result = model.ValueMappingResult(text=text)
    return model.SpecialValueMap(
        options=model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NA_N, result=result)
    )


def mapping(words: Words) -> model.ValueMap:
    """Shows numbers as coloured words."""
    return model.ValueMap(
        options={number: model.ValueMappingResult(text=text, color=color) for number, (text, color) in words.items()}
    )

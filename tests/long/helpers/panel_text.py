"""What a person reads on a panel: a number with its unit, in a colour."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

#: Grafana's colours by name, in its dark theme
COLOURS = {
    "blue": "#5794F2",
    "yellow": "#FADE2A",
    "red": "#F2495C",
    "green": "#73BF69",
    "orange": "#FF9830",
    "purple": "#B877D9",
    "grey": "#808080",
    "text": "#ccccdc",
}

#: what may stand behind a number, and what it is worth
UNITS: dict[str, Mapping[str, float]] = {
    "short": {"": 1, " K": 1e3, " Mil": 1e6, " Bil": 1e9},
    "decbytes": {" B": 1, " kB": 1e3, " MB": 1e6, " GB": 1e9},
    "Bps": {" B/s": 1, " kB/s": 1e3, " MB/s": 1e6, " GB/s": 1e9},
    "s": {" ns": 1e-9, " µs": 1e-6, " ms": 1e-3, " s": 1, " mins": 60, " min": 60},
    "percentunit": {"%": 0.01},
    "cps": {" c/s": 1, "K c/s": 1e3, "M c/s": 1e6},
}
THREE_DIGITS = 5.1e-3  # of which the last is rounded


def check_number(shown: Mapping[str, Any], value: float | None, unit: str) -> None:
    """`shown` is `value`, and reads as it does in its unit."""
    if value is None:
        assert shown["value"] is None, shown
        return
    assert shown["value"] is not None, (shown, value)
    assert math.isclose(float(shown["value"]), value, rel_tol=1e-9, abs_tol=1e-12), (shown, value)
    found = re.fullmatch(r"(-?[\d.]+)(.*)", shown["text"])
    assert found, shown
    assert found[2] in UNITS[unit], (shown, unit)
    read = float(found[1]) * UNITS[unit][found[2]]
    assert math.isclose(read, value, rel_tol=THREE_DIGITS, abs_tol=1e-12), (shown, value)


def check_colour(shown: Mapping[str, Any], name: str) -> None:
    """It is Grafana's colour of that name."""
    assert str(shown["colour"]).lower() == COLOURS[name].lower(), (shown, name)

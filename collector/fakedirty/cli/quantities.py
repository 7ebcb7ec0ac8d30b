"""Quantities with their units, as arguments of the command line."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Mapping

BANDWIDTHS = {
    "B/s": 1.0,
    **{f"{prefix}B/s": 1000.0**power for power, prefix in enumerate(("k", "M", "G"), 1)},
    **{f"{prefix}iB/s": 1024.0**power for power, prefix in enumerate(("K", "M", "G"), 1)},
    **{f"{prefix}bit/s": 1000.0**power / 8 for power, prefix in enumerate(("k", "M", "G"), 1)},
}
TIMES = {"ms": 1e-3, "s": 1.0}
SIZES = {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3}
SHARES = {"%": 0.01}

Parser = Callable[[str], float]


def parser_of(units: Mapping[str, float], example: str) -> Parser:
    """A parser of a number with one of some units.

    Args:
        units: by name, how many of the base unit each is.
        example: for the message where it is none.

    >>> parser_of(BANDWIDTHS, "60MB/s")("480 Mbit/s")
    60000000.0
    """

    def parse(text: str) -> float:
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(\S+)", text.strip(), re.ASCII)
        if not found or found[2] not in units:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number and {', '.join(units)}, such as {example}")
        quantity = float(found[1]) * units[found[2]]
        if math.isinf(quantity):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number that is not too large, such as {example}")
        return quantity

    return parse

"""Quantities with units on the command line."""

from __future__ import annotations

import argparse

import pytest
from fakedirty.cli.quantities import BANDWIDTHS, SHARES, SIZES, TIMES, parser_of


@pytest.mark.parametrize(
    ("units", "text", "expected"),
    [
        (BANDWIDTHS, "60MB/s", 60e6),
        (BANDWIDTHS, "1 Gbit/s", 125e6),
        (BANDWIDTHS, "2MiB/s", 2 * 1024**2),
        (TIMES, "100ms", 0.1),
        (TIMES, " 0.3 s", 0.3),
        (SIZES, "64MiB", 64 * 1024**2),
        (SIZES, "0B", 0.0),
        (SHARES, "40%", 0.4),
    ],
)
def test_a_number_with_its_unit(units: dict[str, float], text: str, expected: float) -> None:
    assert parser_of(units, "x")(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["60", "MB/s", "-1MB/s", "1e3MB/s", "60mb/s", "6 0MB/s", "nanMB/s", "١MB/s", "", "9" * 400 + "MB/s"]
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 60MB/s"):
        parser_of(BANDWIDTHS, "60MB/s")(text)

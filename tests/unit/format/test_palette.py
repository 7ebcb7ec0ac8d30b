"""Colours and patterns of what is drawn."""

from __future__ import annotations

from fakedirty.format.palette import PALETTES, PATTERNS


def test_what_is_filled_has_a_colour_and_a_pattern() -> None:
    assert set(PATTERNS) == {"first", "changed", "fake", "unclassified"}
    assert len(set(PATTERNS.values())) == len(PATTERNS)
    for palette in PALETTES.values():
        assert len({getattr(palette, name) for name in PATTERNS}) == len(PATTERNS)

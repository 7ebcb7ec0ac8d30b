"""Colours of the page: contrast as WCAG has it, and told apart by eyes that lack a kind of cones, or all."""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fakedirty.format.palette import PALETTES, PATTERNS
from fakedirty.web.ui import assets

CSS = (Path(assets.__file__).parent / "page.css").read_text()

#: what an eye without one kind of cones makes of linear RGB (Viénot, Brettel and Mollon 1999)
EYES = {
    "all": np.eye(3),
    "protanopia": np.array([[0.112, 0.888, 0.0], [0.112, 0.888, 0.0], [0.004, -0.004, 1.0]]),
    "deuteranopia": np.array([[0.292, 0.708, 0.0], [0.292, 0.708, 0.0], [-0.022, 0.022, 1.0]]),
}
CLASSES = ("first", "changed", "fake")


def linear(colour: str) -> npt.NDArray[np.float64]:
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(rgb: npt.NDArray[np.float64]) -> float:
    return float(rgb.clip(0, 1) @ [0.2126, 0.7152, 0.0722])


def contrast(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


def css(theme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{([^}]*)\}", CSS)
    return dict(re.findall(r"--(\w+): (#\w{6});", blocks[0 if theme == "light" else 1]))


@pytest.mark.parametrize("theme", PALETTES)
def test_texts_and_drawings_stand_out(theme: str) -> None:
    colours, page = asdict(PALETTES[theme]), css(theme)
    assert (page["ground"], page["text"]) == (colours["ground"], colours["text"])
    grounds = [luminance(linear(page[name])) for name in ("ground", "raised")]
    texts = [page[name] for name in ("text", "quiet", "link", "running", "bad", "mark")]
    assert min(contrast(luminance(linear(text)), ground) for text in texts for ground in grounds) >= 4.5
    drawn_texts = [colours[name] for name in ("text", "mark")]
    assert min(contrast(luminance(linear(text)), grounds[0]) for text in drawn_texts) >= 4.5
    drawn = [colours[name] for name in (*CLASSES, "unclassified", "sent", "saved")]
    assert min(contrast(luminance(linear(colour)), grounds[0]) for colour in drawn) >= 3


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("theme", PALETTES)
def test_classes_are_told_apart(theme: str, eye: str) -> None:
    """Neighbours in a bar by lightness too, so that grey is enough; and by patterns, of which no two are alike."""
    colours = asdict(PALETTES[theme])
    seen = {name: luminance(EYES[eye] @ linear(colours[name])) for name in CLASSES}
    assert contrast(seen["changed"], seen["fake"]) >= 1.8
    assert contrast(seen["first"], seen["fake"]) >= 1.25
    pairs = itertools.combinations((*CLASSES, "unclassified"), 2)
    assert all(PATTERNS[one] != PATTERNS[other] for one, other in pairs)

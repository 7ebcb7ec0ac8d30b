"""A screen of a terminal as an SVG picture without external fonts."""

from __future__ import annotations

import io
import re

from rich.console import RenderableType

from .terminal import Terminal

FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich refers to a font server


def svg(screen: RenderableType, width: int, title: str) -> str:
    """The picture of a terminal of `width` columns, in colour and in a font of the reader's."""
    console = Terminal(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    console.print(screen)
    return FONT_FACES.sub("", console.export_svg(title=title))

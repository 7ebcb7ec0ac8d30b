"""A screen as a picture: SVG that needs nothing from elsewhere."""

from __future__ import annotations

import io
import re

from rich.console import RenderableType

from .terminal import Terminal

FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich's are fetched from a server of fonts


def svg(screen: RenderableType, width: int, title: str) -> str:
    """What a terminal of `width` columns would show, with its colours, in a font of whoever looks."""
    console = Terminal(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    console.print(screen)
    return FONT_FACES.sub("", console.export_svg(title=title))

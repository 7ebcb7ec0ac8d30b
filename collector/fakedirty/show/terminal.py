"""The terminal: rich's console, with text made harmless, and without an exit when the reader of a pipe leaves."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from fakedirty.errors import FakedirtyError
from fakedirty.harmless import harmless, harmless_lines, unfiltered

__all__ = ["Terminal", "harmless"]


class Terminal(Console):
    """Writes to standard output, or to standard error; `quiet` once nobody reads there.

    Text is printed as it is: a ``str`` or a ``Text`` is one line, rich's markup and emoji codes have no effect, and
    control characters are escaped. Only rich's own styles and cursor movements reach the terminal.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        options.setdefault("file", unfiltered(sys.stderr if stderr else sys.stdout))
        super().__init__(highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """rich calls this for each ``str``, also in cells of tables, before it measures widths."""
        return super().render_str(harmless(text), **(options | {"markup": False, "emoji": False}))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """rich calls this for everything that it prints."""
        shown = _harmless_text(renderable) if isinstance(renderable, Text) else renderable
        for segment in super().render(shown, options):
            yield segment if segment.control else Segment(harmless_lines(segment.text), segment.style)

    def print_lines(self, lines: Iterable[str], style: str = "") -> None:
        """Print each of `lines`."""
        for line in lines:
            self.print(line, style=style)

    def on_broken_pipe(self) -> NoReturn:
        """rich calls this, and would exit by itself."""
        self.quiet = True
        raise FakedirtyError("nobody reads the table any more")


def _harmless_text(text: Text) -> Text:
    """The same text in the same styles, with control characters escaped."""
    odd = [at for at, each in enumerate(text.plain) if not each.isprintable()]
    found = text.blank_copy()
    for piece in text.divide(sorted({*odd, *(at + 1 for at in odd)})):
        escaped = piece.blank_copy(harmless(piece.plain))
        for span in piece.spans:  # the style of a control character covers its whole escape
            start, end, style = span if piece.plain.isprintable() else (0, len(escaped), span.style)
            escaped.stylize(style, start, end)
        found.append_text(escaped)
    return found

"""The screen: rich's console that obeys nobody's text, and a reader who leaves ends the showing, not the process."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from fakedirty.errors import FakedirtyError
from fakedirty.harmless import below, harmless, harmless_lines

__all__ = ["Terminal", "harmless"]


class Terminal(Console):
    """Writes to standard output, or to standard error; `quiet` once nobody reads there.

    Text is shown as it is: a ``str`` or a ``Text`` is one line, without rich's markup and emoji codes, and what a
    terminal would obey is spelled. Only rich's own styling, and its moves of the cursor, reach the terminal.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        options.setdefault("file", below(sys.stderr if stderr else sys.stdout))
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Called by rich for each ``str``, also in cells of tables, before widths are measured."""
        return super().render_str(harmless(text), **(options | {"markup": False, "emoji": False}))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Called by rich for all that is shown."""
        shown = _harmless_text(renderable) if isinstance(renderable, Text) else renderable
        for segment in super().render(shown, options):
            yield segment if segment.control else Segment(harmless_lines(segment.text), segment.style)

    def print_lines(self, lines: Iterable[str], style: str = "") -> None:
        """Each on a line of its own."""
        for line in lines:
            self.print(line, style=style)

    def on_broken_pipe(self) -> NoReturn:
        """Called by rich, whose own answer is to exit."""
        self.quiet = True
        raise FakedirtyError("nobody reads the table any more")


def _harmless_text(text: Text) -> Text:
    """The same in the same styles, spelled where a terminal would obey."""
    if text.plain.isprintable():
        return text
    odd = [at for at, each in enumerate(text.plain) if not each.isprintable()]
    found = text.blank_copy()
    for piece in text.divide(sorted({*odd, *(at + 1 for at in odd)} - {0, len(text)})):
        spelled = piece.blank_copy(harmless(piece.plain))
        for span in piece.spans:  # of one that is odd, over all of it
            start, end, style = span if piece.plain.isprintable() else (0, len(spelled), span.style)
            spelled.stylize(style, start, end)
        found.append_text(spelled)
    return found

"""The screen: rich's console, except that a reader who leaves ends the showing, not the process."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

from fakedirty.errors import FakedirtyError


def harmless(text: str) -> str:
    """`text`, of whoever named a VM, without characters that a terminal would obey instead of showing them."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


class Terminal(Console):
    """Writes to standard output; `quiet` once nobody reads there."""

    def on_broken_pipe(self) -> NoReturn:
        """Called by rich, whose own answer is to exit."""
        self.quiet = True
        raise FakedirtyError("nobody reads the table any more")

"""Text from outside, made harmless: no terminal, log or reader of lines obeys what a VM, a file or a peer put into it.

A control character (C0, C1, DEL), an override of the direction of writing, a separator of lines or paragraphs, and
half a surrogate are spelled as JSON spells them: ``\\u001b``. So JSON stays JSON, and a person sees what was there.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

_DELETE = "\x7f"  # JSON leaves it as it is


def harmless(text: str) -> str:
    """One value or one line of `text`: the end of a line is spelled as well."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _spelled(each) for each in text)


def harmless_lines(text: str) -> str:
    """Text of several lines, each of which was made as a line of ours: their ends, and tabs, stay."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _spelled(each) for each in text)


def _spelled(character: str) -> str:
    return "\\u007f" if character == _DELETE else json.dumps(character)[1:-1]


class HarmlessStream:
    """A standard stream that writes harmless text alone; everything else is that of the stream below.

    rich writes its own styling to `rich_proxied_file`, the stream below: `show.terminal` has its own filter.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write `text`; how many characters were given."""
        self.rich_proxied_file.write(harmless_lines(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def below(stream: Any) -> TextIO:
    """The stream itself, whatever filters it."""
    while (lower := getattr(stream, "rich_proxied_file", None)) is not None:
        stream = lower
    found: TextIO = stream
    return found

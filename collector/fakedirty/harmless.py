"""Text from outside with its control characters escaped, so that no terminal and no reader of lines obeys it.

VMs, files and peers choose such text. Control characters (C0, C1, DEL), overrides of the writing direction, separators
of lines and paragraphs, and lone surrogates become JSON escapes such as ``\\u001b``. JSON text stays the same JSON, and
a person can see which characters were there.
"""

from __future__ import annotations

import json
from typing import Any, TextIO


def harmless(text: str) -> str:
    r"""`text` as one printable line; ends of lines are escaped too.

    >>> harmless("vm\x1b]0;owned\a\n")
    'vm\\u001b]0;owned\\u0007\\n'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def harmless_lines(text: str) -> str:
    r"""`text` of several lines; ends of lines, and tabs, stay.

    Only for text whose line breaks are the program's own.

    >>> harmless_lines("a\tb\nc\r")
    'a\tb\nc\\r'
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


class HarmlessStream:
    """A standard stream that writes text made harmless; all other attributes are those of the wrapped stream.

    rich writes its own styling to `rich_proxied_file`, the wrapped stream: :mod:`fakedirty.show.terminal` filters that.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write `text`; returns its length before escaping, as callers of ``write`` expect."""
        self.rich_proxied_file.write(harmless_lines(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def unfiltered(stream: Any) -> TextIO:
    """The stream below all filters of `stream`."""
    while (lower := getattr(stream, "rich_proxied_file", None)) is not None:
        stream = lower
    found: TextIO = stream
    return found

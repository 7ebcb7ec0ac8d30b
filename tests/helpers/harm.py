"""What would harm a terminal or a reader of lines, and whether some of it got through."""

from __future__ import annotations

import re

FORGED = "fakedirty: forged"
#: ends a title's sequence, begins a line of its own, turns the direction of writing, and is markup for rich
HOSTILE = f"\x1b]0;owned\a\r\n{FORGED}\x9b31m\x7f\u202e\u2028[red]:smile:"
#: the same without what a path cannot have
HOSTILE_FILE = HOSTILE.replace("/", "")
STYLING = re.compile(r"\x1b\[[0-9;]*m")


def harm(written: bytes, *, styled: bool = False) -> list[str]:
    """What of the bytes that reached a stream a terminal or a reader of lines would take for ours.

    Args:
        written: all that came.
        styled: whether colours of ours may be among it.
    """
    text = written.decode()
    if styled:
        text = STYLING.sub("", text).replace("\r\n", "\n")
    obeyed = [f"{each!r} in {text!r}" for each in sorted(set(text) - {"\n"}) if not each.isprintable()]
    return obeyed + [repr(line) for line in text.splitlines() if line.startswith(FORGED)]

"""Names of VMs, which are bytes of a command line, as text that any file, label or terminal can hold."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\\\")  # what an escaped name has, and another must not
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    r"""A name as it is where it is UTF-8, else with each byte that is not as ``\xff``.

    `text` is of the bytes by ``decode("utf-8", "surrogateescape")``, as Python has its arguments. No two names become
    one: a name that reads as if something in it were escaped has its backslashes doubled.
    """
    escaped = encodable(text)
    if escaped == text and not _ESCAPE.search(text):
        return text
    return encodable(text.replace("\\", "\\\\"))


def encodable(text: str, backslash: str = "\\") -> str:
    r"""`text` as UTF-8 can have it: a byte that was none as ``\xff``, and half a character as ``\ud800``.

    `backslash` is how what is written spells a backslash.
    """
    return _SURROGATE.sub(lambda found: backslash + _code(ord(found[0])), text)


def _code(code: int) -> str:
    return f"x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"u{code:04x}"

"""Names of VMs as text that any file, label or terminal can hold. QEMU has them as bytes of its command line."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\\\")  # only an escaped name may contain this
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    r"""A name as text: unchanged where its bytes are UTF-8, else with each other byte as ``\xff``.

    Different names stay different: a name that already contains such an escape has its backslashes doubled.

    Args:
        text: the bytes of the name, decoded with ``decode("utf-8", "surrogateescape")`` as Python decodes arguments.

    >>> print(visible(b"web-\xff".decode("utf-8", "surrogateescape")))
    web-\xff
    >>> print(visible(r"web-\xff"))
    web-\\xff
    """
    escaped = encodable(text)
    if escaped == text and not _ESCAPE.search(text):
        return text
    return encodable(text.replace("\\", "\\\\"))


def encodable(text: str, backslash: str = "\\") -> str:
    r"""`text` without surrogates: those that stand for a byte as ``\xff``, others as ``\ud800``.

    Args:
        text: any text.
        backslash: a backslash, in the syntax of the file that the result goes into.
    """
    return _SURROGATE.sub(lambda found: backslash + _code(ord(found[0])), text)


def _code(code: int) -> str:
    return f"x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"u{code:04x}"

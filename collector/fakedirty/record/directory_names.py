"""Names of directories from names that people and libvirt choose: one safe path component for any text."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

LONGEST = 120  # bytes; file systems allow 255 for a component, and a date and a suffix are added

PARTIAL = ".partial"  # ends the name of a directory while it is written; it stays if the writing was interrupted


def safe_name(text: str) -> str:
    """`text` percent-encoded; if that is too long, its beginning, a tilde and a hash of `text`.

    >>> safe_name("a/b"), safe_name("..")
    ('a%2Fb', '%2E.')
    """
    name = quote(text, safe="", errors="surrogateescape").replace("~", "%7E") or "%"
    if name.startswith("."):
        name = "%2E" + name[1:]
    if name.endswith(PARTIAL):
        name = name.removesuffix(PARTIAL) + "%2Epartial"
    if len(name) > LONGEST:
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]
        name = f"{name[: LONGEST - 13]}~{digest}"
    return name

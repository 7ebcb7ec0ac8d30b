"""Names of directories made from names that people and libvirt give: any text in, one safe component out."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

LONGEST = 120  # bytes of a component; file systems allow 255, and a suffix and a date are yet to come

PARTIAL = ".partial"  # ends the name of a directory while it is being written, and of one that was cut off


def safe_name(text: str) -> str:
    """`text` percent-encoded, so that it can be told again; hashed at the end, after a tilde, where it is too long."""
    name = quote(text, safe="", errors="surrogateescape").replace("~", "%7E") or "%"
    if name.startswith("."):
        name = "%2E" + name[1:]
    if name.endswith(PARTIAL):
        name = name.removesuffix(PARTIAL) + "%2Epartial"
    if len(name) > LONGEST:
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]
        name = f"{name[: LONGEST - 13]}~{digest}"
    return name

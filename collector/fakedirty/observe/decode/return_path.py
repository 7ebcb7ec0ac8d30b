"""Whether the destination reports back to the source, by QEMU's answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping

RETURN_PATH = "return-path"  # the capability, and the member of the answer

#: capabilities that make QEMU open a return path
OPENS = frozenset({RETURN_PATH, "postcopy-ram"})


def return_path(answer: Mapping[str, object]) -> bool | None:
    """Whether there is a return path; None if the answer does not have it."""
    return on if isinstance(on := answer.get(RETURN_PATH), bool) else None

"""What QEMU answers, and what only claims to be QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fakedirty.errors import QmpError


@contextmanager
def understanding(where: object) -> Iterator[None]:
    """Make sense of answers: QmpError where they are not of the form that QEMU's have."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise QmpError(f"{where} answers, but not as a QEMU does: {error!r}") from error

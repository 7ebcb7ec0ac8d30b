"""Checks that answers have the form that QEMU's have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fakedirty.errors import QmpError


@contextmanager
def parsing_answers(where: object) -> Iterator[None]:
    """Raise QmpError for errors that come from an answer of another form; `where` names the peer in the message."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise QmpError(f"{where} answers, but not as a QEMU does: {error!r}") from error

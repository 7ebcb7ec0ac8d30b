"""SIGTERM for commands that run machines and links: these are removed before the command ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tidy_when_terminated() -> Iterator[None]:
    """In the ``with`` block SIGTERM raises KeyboardInterrupt, as Ctrl-C does, and machines and links are removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Long work of the laboratory that is ended from outside, and tidies up all the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tidy_when_terminated() -> Iterator[None]:
    """In the ``with`` block SIGTERM raises KeyboardInterrupt, as Ctrl-C does, so that machines and links go."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

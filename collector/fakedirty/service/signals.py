"""Signals as events: SIGTERM and SIGINT end a command, SIGHUP makes a service read its configuration again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set in the ``with`` block. For the main thread."""
    with _set_by(signal.SIGTERM, signal.SIGINT) as stop:
        yield stop


@contextmanager
def reload_signals() -> Iterator[threading.Event]:
    """An event that SIGHUP sets in the ``with`` block. For the main thread."""
    with _set_by(signal.SIGHUP) as again:
        yield again


@contextmanager
def _set_by(*numbers: signal.Signals) -> Iterator[threading.Event]:
    event = threading.Event()
    before = {number: signal.signal(number, lambda *_: event.set()) for number in numbers}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

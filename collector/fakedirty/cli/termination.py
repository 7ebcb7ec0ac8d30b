"""Being told to end: what was begun is ended properly."""

from __future__ import annotations

import signal
import threading
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


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hangups() -> Iterator[threading.Event]:
    """An event that SIGHUP sets."""
    heard = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: heard.set())
    try:
        yield heard
    finally:
        signal.signal(signal.SIGHUP, before)

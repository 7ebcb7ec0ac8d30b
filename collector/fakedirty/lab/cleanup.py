"""What is asked of a QEMU whose last migration is over, and not cleaned up yet, is asked again in a moment.

A migration is failed or cancelled before its thread has been joined. Until then QEMU starts no other, and keeps its
mode where the switchover had been decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from fakedirty.errors import QmpError
from fakedirty.qmp import refusals

CLEANUP_SECONDS = 60.0
PAUSE_SECONDS = 0.02

T = TypeVar("T")


def once_cleaned_up(ask: Callable[[], T], seconds: float = CLEANUP_SECONDS) -> T:
    """What `ask` returns, done again for so long as QEMU refuses it for that reason; what it raises then, or else."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except QmpError as error:
            passing = refusals.not_cleaned_up(error) or refusals.switchover_decided(error)
            if not passing or time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_SECONDS)

"""A command that QEMU refuses because its last migration is over, and not cleaned up yet, is repeated in a moment.

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


def once_cleaned_up(command: Callable[[], T], seconds: float = CLEANUP_SECONDS) -> T:
    """Repeat a command for so long as QEMU refuses it for that reason.

    Args:
        command: gives the command to QEMU.
        seconds: how long it is repeated.

    Returns:
        What `command` returns.

    Raises:
        QmpError: it is refused after that time too, or for another reason.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return command()
        except QmpError as error:
            passing = refusals.not_cleaned_up(error) or refusals.switchover_decided(error)
            if not passing or time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_SECONDS)

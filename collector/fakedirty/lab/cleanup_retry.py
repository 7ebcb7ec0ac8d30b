"""Retry of a command that QEMU refuses because it has not cleaned up its last migration yet.

QEMU reports a migration as failed or cancelled before it has joined the migration's thread. Until then it starts no
other migration. If the switchover was decided, it does not change its mode either.
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
    """Repeat a command while QEMU refuses it for this reason.

    Args:
        command: sends the command to QEMU.
        seconds: the longest time to repeat it.

    Returns:
        What `command` returns.

    Raises:
        QmpError: QEMU refuses the command after that time too, or for another reason.
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

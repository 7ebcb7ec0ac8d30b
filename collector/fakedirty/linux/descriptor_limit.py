"""The limit of file descriptors of this process, and whether a plan fits it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from fakedirty.errors import MissingError

#: kept free for short-lived descriptors: QMP connections, files of recordings, clients of the metrics
RESERVE = 48
DESCRIPTORS_OF_A_QEMU = 2  # its process, and the map of its state


class DescriptorLimitError(MissingError):
    """Not enough file descriptors are left."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard limit, and return that. systemd gives a service a soft limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def descriptors_left(proc: Path = Path("/proc")) -> int:
    """How many more descriptors this process may open; negative if it has more than the limit, which may be lowered."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir(proc / "self/fd"))
    except OSError:  # no descriptor is left to read the directory with
        return 0
    return soft - used


def demand_descriptors(count: int, purpose: str) -> None:
    """Refuse a plan before it begins: without descriptors, libraries exit or leave work half done.

    Args:
        count: descriptors that the plan takes.
        purpose: the plan, as subject of a sentence.

    Raises:
        DescriptorLimitError: `count` more would leave fewer than RESERVE.
    """
    left = descriptors_left()
    if left < count + RESERVE:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        raise DescriptorLimitError(
            f"{purpose} takes {count} file descriptors and {RESERVE} are kept free, but {max(left, 0)} are left of "
            f"{soft} (hard limit {hard}): raise LimitNOFILE= of the unit, or ulimit -n"
        )

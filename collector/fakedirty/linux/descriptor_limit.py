"""How many file descriptors this process may have, and whether what is planned fits."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from fakedirty.errors import MissingError

#: left for what comes and goes beside probes: QMP connections, files of recordings, clients of the metrics
RESERVE = 48
DESCRIPTORS_OF_A_QEMU = 2  # its process, and the map of its state


class DescriptorLimitError(MissingError):
    """Not enough file descriptors are left."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, which is returned. systemd gives a service 1,024 of many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def descriptors_left(proc: Path = Path("/proc")) -> int:
    """How many more this process may open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir(proc / "self/fd"))
    except OSError:  # not even one to look with
        return 0
    return soft - used


def demand_descriptors(count: int, purpose: str) -> None:
    """Refuse a plan before it begins: the libraries below end the process, or leave half of it, where they run out.

    Raises:
        DescriptorLimitError: `count` more would leave less than RESERVE.
    """
    left = descriptors_left()
    if left < count + RESERVE:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        raise DescriptorLimitError(
            f"{purpose} takes {count} file descriptors and {RESERVE} are kept free, but {max(left, 0)} are left of "
            f"{soft} (hard limit {hard}): raise LimitNOFILE= of the unit, or ulimit -n"
        )

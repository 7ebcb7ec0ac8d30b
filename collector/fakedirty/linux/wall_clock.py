"""How far the wall clock of this host may be off, as its kernel reports it, and which boot its clocks are of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import libc

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

STA_UNSYNC, STA_CLOCKERR = 0x40, 0x1000  # bits of the status of adjtimex(2)


@dataclass(frozen=True, slots=True)
class ClockError:
    """The error of the wall clock at the moment of the call.

    Attributes:
        synchronised: a time daemon keeps the clock, and the kernel trusts what the daemon reports.
        max_error_us: the clock is off by at most so many microseconds. It means nothing while not `synchronised`.
        estimated_error_us: by how many it is estimated to be off.
    """

    synchronised: bool
    max_error_us: int
    estimated_error_us: int


def clock_error() -> ClockError | None:
    """The error of this host's wall clock; None where a filter of system calls refuses to report it."""
    try:
        timex = libc.adjtimex()
    except OSError:
        return None
    synchronised = not timex.status & (STA_UNSYNC | STA_CLOCKERR)
    return ClockError(synchronised, timex.max_error_us, timex.estimated_error_us)


def boot_id(file: Path = BOOT_ID) -> str | None:
    """The identity of the kernel that runs since the last boot; None where it cannot be read."""
    try:
        return file.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None

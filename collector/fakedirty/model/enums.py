"""The words of the field, one per thing, as they stand in CSV columns, metrics and traces.

Every enumeration is ordered as in ``probes/events.h``: the value is the number that crosses from QEMU
or from the kernel, the name is what people read.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class StringEnum(IntEnum):
    """A number with the name that people read (``str(Kind.BULK) == "bulk"``)."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The member that prints as `text`; ValueError lists those that exist."""
        for member in cls:
            if str(member) == text:
                return member
        raise ValueError(f"{text!r} is not one of {', '.join(str(member) for member in cls)}")


class Kind(StringEnum):
    """What a round is: the first pass over all RAM, a later pass, or the pass with the VM stopped."""

    BULK = 0
    ITERATIVE = 1
    SWITCHOVER = 2


class Mode(StringEnum):
    """``fake-dirty-mode``: what QEMU does with a page's content hash."""

    OFF = 0
    OBSERVE = 1
    SKIP = 2


class PageClass(StringEnum):
    """What a visited page is, against what was last sent of it."""

    FIRST = 0
    CHANGED = 1
    FAKE = 2


class Disposition(StringEnum):
    """What became of a visited page."""

    NORMAL = 0
    ZERO = 1
    XBZRLE = 2
    UNCHANGED = 3
    SKIPPED = 4


class Level(StringEnum):
    """How a QEMU is observed, from least to most."""

    QMP = 0
    STOCK = 1
    USDT = 2
    PATCHED = 3

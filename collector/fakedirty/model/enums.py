"""The enumerations of the field, as they stand in CSV columns, metrics and traces.

The members of each are in the order of ``probes/events.h``: the value is the number that QEMU or the kernel sends, the
name is the word that people read.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class StringEnum(IntEnum):
    """A number whose ``str()`` is the word that people read.

    >>> str(Kind.BULK), int(Kind.BULK)
    ('bulk', 0)
    """

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The member whose word is `text`.

        >>> Mode.parse("skip")
        <Mode.SKIP: 2>

        Raises:
            ValueError: there is none; the message lists the words that exist.
        """
        for member in cls:
            if str(member) == text:
                return member
        raise ValueError(f"{text!r} is not one of {', '.join(str(member) for member in cls)}")


class Kind(StringEnum):
    """The kind of a round: the first pass over all RAM, a later pass, or the pass while the VM is stopped."""

    BULK = 0
    ITERATIVE = 1
    SWITCHOVER = 2


class Mode(StringEnum):
    """``fake-dirty-mode``: how QEMU uses the content hash of a page."""

    OFF = 0
    OBSERVE = 1
    SKIP = 2


class PageClass(StringEnum):
    """The class of a visited page, by comparison with what QEMU sent last of it."""

    FIRST = 0
    CHANGED = 1
    FAKE = 2


class Disposition(StringEnum):
    """How QEMU disposed of a visited page."""

    NORMAL = 0
    ZERO = 1
    XBZRLE = 2
    UNCHANGED = 3
    SKIPPED = 4


class Level(StringEnum):
    """A level of observation; a higher one reports more."""

    QMP = 0
    STOCK = 1
    USDT = 2
    PATCHED = 3

"""How a fuzzed migration uses multifd: so many channels, a compression, who finds zero pages, when all is flushed."""

from __future__ import annotations

from dataclasses import dataclass

from .chance import Chance

CHANNELS = (1, 2, 3, 4)
COMPRESSIONS = ("none", "zlib", "zstd")
ZERO_PAGES = ("multifd", "multifd", "legacy", "none")
SECTION_SHARE = 0.2  # flushes after each section, as old machine types do
SHARE = 0.75  # of migrations, where QEMU skips with multifd
COMPRESSED = 64  # a guest's pages are mostly that much smaller: so much less bandwidth makes as many rounds

WITHOUT = "multifd off"
SECTION = "flush after each section"


@dataclass(frozen=True, slots=True)
class Multifd:
    """In QEMU's words. `zero_pages` is the source's ``zero-page-detection``; the rest is both sides'."""

    channels: int
    compression: str
    zero_pages: str
    each_section: bool

    @property
    def ratio(self) -> int:
        """By how much less is sent."""
        return 1 if self.compression == "none" else COMPRESSED

    @property
    def shared(self) -> dict[str, object]:
        """Parameters of both sides."""
        return {"multifd-channels": self.channels, "multifd-compression": self.compression}

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of QEMU, on both sides."""
        option = "migration.multifd-flush-after-each-section=on"
        return ("-global", option) if self.each_section else ()

    @property
    def features(self) -> tuple[str, ...]:
        """What toggles meet by it."""
        section = (SECTION,) if self.each_section else ()
        return (f"multifd {self.compression}", _channels(self.channels), _zero_pages(self.zero_pages), *section)


def draw_multifd(chance: Chance, compressions: tuple[str, ...]) -> Multifd | None:
    """One of them, or none: None as well where QEMU has no `compressions` that it skips with."""
    used, channels, which = chance.happens(SHARE), chance.of(CHANNELS), chance.between(0, 1)
    zero_pages, each_section = chance.of(ZERO_PAGES), chance.happens(SECTION_SHARE)
    if not used or not compressions:
        return None
    return Multifd(channels, compressions[int(which * len(compressions))], zero_pages, each_section)


def multifd_features(compressions: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that a toggle can meet by multifd."""
    if not compressions:
        return (WITHOUT,)
    return (
        WITHOUT,
        *(f"multifd {name}" for name in compressions),
        *(_channels(count) for count in CHANNELS),
        *(_zero_pages(name) for name in dict.fromkeys(ZERO_PAGES)),
        SECTION,
    )


def _channels(count: int) -> str:
    return f"{count} channel{'' if count == 1 else 's'}"


def _zero_pages(name: str) -> str:
    return f"zero pages by {name}" if name != "none" else "zero pages not sought"

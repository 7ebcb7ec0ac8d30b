"""How a fuzzed migration uses multifd: channels, compression, detection of zero pages, and flushes."""

from __future__ import annotations

from dataclasses import dataclass

from .chance import Chance

CHANNELS = (1, 2, 3, 4)
COMPRESSIONS = ("none", "zlib", "zstd")
ZERO_PAGES = ("multifd", "multifd", "legacy", "none")
SECTION_SHARE = 0.2  # flush after each section, as old machine types do
SHARE = 0.75  # of migrations, where QEMU skips with multifd
COMPRESSION_RATIO = 64  # of most pages of a guest; with so much less bandwidth there are as many rounds

WITHOUT = "multifd off"
SECTION = "flush after each section"


@dataclass(frozen=True, slots=True)
class Multifd:
    """The settings of multifd, in QEMU's words.

    `zero_pages` is ``zero-page-detection`` of the source; all others are set on both sides.
    """

    channels: int
    compression: str
    zero_pages: str
    each_section: bool

    @property
    def ratio(self) -> int:
        """How many times smaller the sent data is than the pages."""
        return 1 if self.compression == "none" else COMPRESSION_RATIO

    @property
    def shared(self) -> dict[str, object]:
        """Migration parameters of both sides."""
        return {"multifd-channels": self.channels, "multifd-compression": self.compression}

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of QEMU, on both sides."""
        option = "migration.multifd-flush-after-each-section=on"
        return ("-global", option) if self.each_section else ()

    @property
    def features(self) -> tuple[str, ...]:
        """The features that toggles meet by these settings."""
        section = (SECTION,) if self.each_section else ()
        return (f"multifd {self.compression}", _channels(self.channels), _zero_pages(self.zero_pages), *section)


def draw_multifd(chance: Chance, compressions: tuple[str, ...]) -> Multifd | None:
    """Draw the settings, or None for a migration without multifd.

    Args:
        chance: the random generator.
        compressions: those that QEMU skips with; without any, the result is None.
    """
    used, channels, which = chance.happens(SHARE), chance.choice(CHANNELS), chance.between(0, 1)
    zero_pages, each_section = chance.choice(ZERO_PAGES), chance.happens(SECTION_SHARE)
    if not used or not compressions:
        return None
    return Multifd(channels, compressions[int(which * len(compressions))], zero_pages, each_section)


def multifd_features(compressions: tuple[str, ...]) -> tuple[str, ...]:
    """All features that a toggle can meet by multifd, with or without it."""
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

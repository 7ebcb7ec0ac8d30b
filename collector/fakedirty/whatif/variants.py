"""The settings with which a recorded migration is played: those of the recording, and others in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from fakedirty.errors import UsageError

MOST_VARIANTS = 100
CACHE_LEAST = 4096  # bytes: QEMU wants a page at least, and a power of two


@dataclass(frozen=True, slots=True)
class Variant:
    """Settings of a migration.

    Attributes:
        bandwidth: bytes a second that the link carries; None: as in the recording.
        limit_seconds: the downtime limit.
        skips: whether skip is on, by round; after the last one it stays as in the last one.
        xbzrle_cache: bytes of XBZRLE's cache; 0 without XBZRLE.
        throttle: the share of its time that the guest is kept from running, from 0 to below 1.
        given: names of the settings that are not those of the recording.
    """

    limit_seconds: float
    skips: tuple[bool, ...] = (False,)
    bandwidth: float | None = None
    xbzrle_cache: int = 0
    throttle: float = 0.0
    given: tuple[str, ...] = ()

    def skipping(self, round_number: int) -> bool:
        """Whether skip is on in a round, counted from 1."""
        return self.skips[min(round_number, len(self.skips)) - 1]


@dataclass(frozen=True, slots=True)
class Choices:
    """The values of each setting that are to be tried. An empty one stays as in the recording.

    Attributes:
        bandwidths: bytes a second.
        limits: seconds.
        modes: whether skip is on from the first round.
        caches: bytes; 0 is without XBZRLE.
        throttles: from 0 to below 1.
    """

    bandwidths: Sequence[float] = ()
    limits: Sequence[float] = ()
    modes: Sequence[bool] = ()
    caches: Sequence[int] = ()
    throttles: Sequence[float] = ()


def variants(recorded: Variant, choices: Choices) -> list[Variant]:
    """Every combination of the choices; none if there are no choices.

    Raises:
        UsageError: a value has no meaning, or there are too many combinations.
    """
    _check(choices)
    values = {
        "bandwidth": choices.bandwidths,
        "limit_seconds": choices.limits,
        "skips": choices.modes,
        "xbzrle_cache": choices.caches,
        "throttle": choices.throttles,
    }
    given = tuple(name for name, each in values.items() if each)
    if not given:
        return []
    bandwidths: Sequence[float | None] = choices.bandwidths or (recorded.bandwidth,)
    modes: Sequence[tuple[bool, ...]] = [(mode,) for mode in choices.modes] or [recorded.skips]
    found = [
        Variant(limit, skips, bandwidth, cache, throttle, given)
        for bandwidth, limit, skips, cache, throttle in product(
            bandwidths,
            choices.limits or [recorded.limit_seconds],
            modes,
            choices.caches or [recorded.xbzrle_cache],
            choices.throttles or [recorded.throttle],
        )
    ]
    if len(found) > MOST_VARIANTS:
        raise UsageError(f"{len(found)} combinations of settings are more than {MOST_VARIANTS}: give fewer values")
    return list(dict.fromkeys(found))


def _check(choices: Choices) -> None:
    if any(each < 1 for each in choices.bandwidths):
        raise UsageError("a bandwidth is at least 1 B/s")
    if any(each <= 0 for each in choices.limits):
        raise UsageError("a downtime limit is above 0")
    if any(not 0 <= each < 1 for each in choices.throttles):
        raise UsageError("a throttle is from 0% to below 100%")
    for each in choices.caches:
        if each and (each < CACHE_LEAST or each & (each - 1)):
            raise UsageError(
                f"QEMU takes a cache of {each} bytes for XBZRLE only if it is a power of two of 4096 or more"
            )

"""By which way a fuzzed migration goes: over a connection, into a file and out of it, or over to postcopy."""

from __future__ import annotations

from dataclasses import dataclass

from .chance import Chance

CONNECTION, FILE, POSTCOPY = "connection", "mapped-ram", "postcopy"
WAYS = (CONNECTION, CONNECTION, FILE, POSTCOPY)  # as often as they are drawn

DIRECT = "direct-io"
WITH_MULTIFD = "postcopy with multifd"  # QEMU 10.1 and later
PREEMPT = "postcopy-preempt"
POSSIBLE = (FILE, DIRECT, POSTCOPY, PREEMPT, WITH_MULTIFD)  # where QEMU takes them
SWEPT, UNSWEPT = "swept before postcopy", "not swept before postcopy"
DIRECT_SHARE, PREEMPT_SHARE, SWEEP_SHARE = 0.5, 0.4, 0.8
SWEEP_PARAMETER = "fake-dirty-sweep"
LIMITS_MS = (
    1,
    20,
    100,
    300,
)  # half of it is for the sweep with the VM stopped, after which nothing is written any more

#: What QEMU itself refuses together, and what is never drawn together therefore.
FORBIDDEN = (
    ("xbzrle", "multifd"),
    ("xbzrle", "mapped-ram"),
    ("mapped-ram", "compression of multifd"),
    ("mapped-ram", "postcopy"),
)


@dataclass(frozen=True, slots=True)
class FileRoute:
    """The guest is saved into a file while it runs, each page at its place, and restored from that.

    With `direct` the channels of multifd write past the cache of the host.
    """

    direct: bool

    @property
    def capabilities(self) -> dict[str, bool]:
        """Of both sides."""
        return {"mapped-ram": True}

    @property
    def shared(self) -> dict[str, object]:
        """Parameters of both sides."""
        return {DIRECT: self.direct}

    @property
    def parameters(self) -> dict[str, object]:
        """Parameters of the source."""
        return {}

    @property
    def features(self) -> tuple[str, ...]:
        """What toggles meet by it."""
        return (FILE, DIRECT) if self.direct else (FILE,)


@dataclass(frozen=True, slots=True)
class HybridRoute:
    """After some pre-copy the rest is left to postcopy, and `sweep` verifies dirty pages before that.

    `limit_ms` is the downtime limit, which a sweep goes by, too.
    """

    preempt: bool
    sweep: bool
    limit_ms: int = LIMITS_MS[0]

    @property
    def capabilities(self) -> dict[str, bool]:
        """Of both sides."""
        return {"postcopy-ram": True, PREEMPT: self.preempt}

    @property
    def shared(self) -> dict[str, object]:
        """Parameters of both sides."""
        return {}

    @property
    def parameters(self) -> dict[str, object]:
        """Parameters of the source."""
        return {SWEEP_PARAMETER: self.sweep}

    @property
    def features(self) -> tuple[str, ...]:
        """What toggles meet by it in any case: whether there was postcopy is known afterwards."""
        return ()

    def met(self, swept: int, *, multifd: bool) -> tuple[str, ...]:
        """What toggles have met where there was postcopy, and so many pages were swept before it."""
        with_multifd = (WITH_MULTIFD,) if multifd else ()
        return (POSTCOPY, *with_multifd, *((PREEMPT,) if self.preempt else ()), SWEPT if swept else UNSWEPT)


Way = FileRoute | HybridRoute


def draw_way(chance: Chance, possible: tuple[str, ...]) -> Way | None:
    """One of those that are possible; None: over a connection, with no postcopy."""
    way, direct = chance.of(WAYS), chance.happens(DIRECT_SHARE)
    preempt, sweep, limit_ms = chance.happens(PREEMPT_SHARE), chance.happens(SWEEP_SHARE), chance.of(LIMITS_MS)
    if way not in possible:
        return None
    if way == FILE:
        return FileRoute(direct and DIRECT in possible)
    return HybridRoute(preempt and PREEMPT in possible, sweep, limit_ms)


def way_features(possible: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that a toggle can meet by the way."""
    swept = (SWEPT, UNSWEPT) if POSTCOPY in possible else ()
    return (*(name for name in POSSIBLE if name in possible), *swept)

"""The route of a fuzzed migration: over a connection, into a file and out of it, or with postcopy."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.qmp.parameters import SWEEP

from .chance import Chance

CONNECTION, FILE, POSTCOPY = "connection", "mapped-ram", "postcopy"
ROUTES = (CONNECTION, CONNECTION, FILE, POSTCOPY)  # as often as they are drawn

DIRECT = "direct-io"
WITH_MULTIFD = "postcopy with multifd"  # QEMU 10.1 and later
PREEMPT = "postcopy-preempt"
OPTIONAL = (FILE, DIRECT, POSTCOPY, PREEMPT, WITH_MULTIFD)  # that a QEMU may refuse together with skip
SWEPT, UNSWEPT = "swept before postcopy", "not swept before postcopy"
DIRECT_SHARE, PREEMPT_SHARE, SWEEP_SHARE = 0.5, 0.4, 0.8
LIMITS_MS = (1, 20, 100, 300)  # half of it is for the sweep with the VM stopped: no later write follows that sweep

#: Pairs that QEMU refuses. They are never drawn together.
FORBIDDEN = (
    ("xbzrle", "multifd"),
    ("xbzrle", "mapped-ram"),
    ("mapped-ram", "compression of multifd"),
    ("mapped-ram", "postcopy"),
)


@dataclass(frozen=True, slots=True)
class FileRoute:
    """The running guest is saved into a file, each page at its own place, and restored from the file.

    With `direct` the channels of multifd bypass the page cache of the host.
    """

    direct: bool

    @property
    def capabilities(self) -> dict[str, bool]:
        """Migration capabilities of both sides."""
        return {"mapped-ram": True}

    @property
    def shared(self) -> dict[str, object]:
        """Migration parameters of both sides."""
        return {DIRECT: self.direct}

    @property
    def parameters(self) -> dict[str, object]:
        """Migration parameters of the source."""
        return {}

    @property
    def features(self) -> tuple[str, ...]:
        """The features that toggles meet on this route."""
        return (FILE, DIRECT) if self.direct else (FILE,)


@dataclass(frozen=True, slots=True)
class HybridRoute:
    """Some pre-copy, and postcopy for the rest.

    With `sweep` QEMU verifies dirty pages before postcopy begins. `limit_ms` is the downtime limit, which also limits
    the sweep.
    """

    preempt: bool
    sweep: bool
    limit_ms: int = LIMITS_MS[0]

    @property
    def capabilities(self) -> dict[str, bool]:
        """Migration capabilities of both sides."""
        return {"postcopy-ram": True, PREEMPT: self.preempt}

    @property
    def shared(self) -> dict[str, object]:
        """Migration parameters of both sides."""
        return {}

    @property
    def parameters(self) -> dict[str, object]:
        """Migration parameters of the source."""
        return {SWEEP: self.sweep}

    @property
    def features(self) -> tuple[str, ...]:
        """The features that toggles meet in any case: none, for the migration may end before postcopy."""
        return ()

    def postcopy_features(self, swept: int, *, multifd: bool) -> tuple[str, ...]:
        """The features that toggles have met in a migration with postcopy.

        Args:
            swept: how many pages were swept before postcopy.
            multifd: whether multifd was used.
        """
        with_multifd = (WITH_MULTIFD,) if multifd else ()
        return (POSTCOPY, *with_multifd, *((PREEMPT,) if self.preempt else ()), SWEPT if swept else UNSWEPT)


Route = FileRoute | HybridRoute


def draw_route(chance: Chance, routes: tuple[str, ...]) -> Route | None:
    """Draw a route; None: over a connection, without postcopy.

    Args:
        chance: the random generator.
        routes: those of OPTIONAL that are possible.
    """
    route, direct = chance.choice(ROUTES), chance.happens(DIRECT_SHARE)
    preempt, sweep, limit_ms = chance.happens(PREEMPT_SHARE), chance.happens(SWEEP_SHARE), chance.choice(LIMITS_MS)
    if route not in routes:
        return None
    if route == FILE:
        return FileRoute(direct and DIRECT in routes)
    return HybridRoute(preempt and PREEMPT in routes, sweep, limit_ms)


def route_features(routes: tuple[str, ...]) -> tuple[str, ...]:
    """All features that a toggle can meet by one of `routes`."""
    swept = (SWEPT, UNSWEPT) if POSTCOPY in routes else ()
    return (*(name for name in OPTIONAL if name in routes), *swept)

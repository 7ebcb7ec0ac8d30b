"""The treatments of fake dirty pages: a table, each ready to be applied to an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fakedirty.model.enums import Level, Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode
from fakedirty.qmp.parameters import SWITCHOVER

from .migrate import Step

CHANNELS, COMPRESSION = "multifd-channels", "multifd-compression"
DEFAULT_CHANNELS = 2  # of QEMU


@dataclass(frozen=True, slots=True)
class RoundToggle:
    """A change of mode while the migration runs, after a round has ended."""

    after_round: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done about fake dirty pages in a migration.

    Attributes:
        name: its name in results.
        summary: a line about it.
        level: the level at which it is observed.
        mode: the mode at the start; None for a QEMU without the patch series.
        toggles: changes of the mode.
        odd_memory: for a QEMU that may be older than 9.0: see Experiment.
        converges: whether the migration is expected to end because of it.
        parameters: migration parameters of the source, beside the mode.
        capabilities: migration capabilities of both sides.
        shared: migration parameters of both sides.
        postcopy_after: postcopy begins after so many rounds of pre-copy; None for no postcopy.
    """

    name: str
    summary: str
    level: Level
    mode: Mode | None
    toggles: tuple[RoundToggle, ...] = ()
    odd_memory: bool = False
    converges: bool = False
    parameters: Mapping[str, object] = field(default_factory=dict)
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    shared: Mapping[str, object] = field(default_factory=dict)
    postcopy_after: int | None = None

    @property
    def codec(self) -> str | None:
        """The codec with which multifd compresses; None if it does not compress."""
        name = self.shared.get(COMPRESSION)
        return None if name is None else str(name)

    @property
    def channels(self) -> int:
        """Channels of multifd; 0 without multifd."""
        return int(str(self.shared.get(CHANNELS, DEFAULT_CHANNELS))) if self.capabilities.get("multifd") else 0

    @property
    def steps(self) -> list[Step]:
        """The toggles and the start of postcopy, as steps of a migration."""
        steps = [Step(_setting(toggle.mode), after_round=toggle.after_round) for toggle in self.toggles]
        if self.postcopy_after is not None:
            steps.append(Step(_start_postcopy, after_round=self.postcopy_after))
        return steps


def _setting(mode: Mode) -> Callable[[Qmp], object]:
    return lambda qmp: set_mode(qmp, mode)


def _start_postcopy(qmp: Qmp) -> None:
    qmp.execute("migrate-start-postcopy")


UNPATCHED = Treatment(
    "stock", "QEMU as Debian ships it, observed by the stock probe", Level.STOCK, None, odd_memory=True
)
VANILLA = Treatment("vanilla", "mode off, observed by the stock probe", Level.STOCK, Mode.OFF)
SKIP = Treatment(
    "skip",
    "observed by the patch series itself, toggled from observe to skip while it runs, after round 2",
    Level.PATCHED,
    Mode.OBSERVE,
    (RoundToggle(after_round=2, mode=Mode.SKIP),),
    converges=True,
)


def _xbzrle(cache_bytes: int) -> Mapping[str, object]:
    return {"xbzrle-cache-size": cache_bytes}


XBZRLE: Mapping[str, bool] = {"xbzrle": True}
SMALL_CACHE, LARGE_CACHE = 64 << 20, 512 << 20  # bytes: QEMU's default, and the RAM of the guest of REFERENCE
ALONE: Mapping[str, object] = {SWITCHOVER: False}

#: The treatments of the convergence benchmark, observed by QEMU's own history of rounds. They skip from the start.
CONVERGENCE = (
    Treatment("vanilla", "mode off", Level.QMP, Mode.OFF),
    Treatment(
        "xbzrle-64M",
        "XBZRLE with a cache of 64 MiB",
        Level.QMP,
        Mode.OFF,
        parameters=_xbzrle(SMALL_CACHE),
        capabilities=XBZRLE,
    ),
    Treatment(
        "xbzrle-ram",
        "XBZRLE with a cache of the size of RAM",
        Level.QMP,
        Mode.OFF,
        parameters=_xbzrle(LARGE_CACHE),
        capabilities=XBZRLE,
    ),
    Treatment(
        "skip-sha1",
        "skip as published: SHA-1, the switchover unaware",
        Level.QMP,
        Mode.SKIP,
        parameters={**ALONE, "fake-dirty-hash": "sha1"},
    ),
    Treatment("skip-xxh3", "skip with XXH3, the switchover unaware", Level.QMP, Mode.SKIP, parameters=ALONE),
    Treatment("skip", "skip with XXH3 and the fake-aware switchover", Level.QMP, Mode.SKIP),
    Treatment(
        "skip+xbzrle",
        "skip with XXH3 and the fake-aware switchover, and XBZRLE with a cache of the size of RAM",
        Level.QMP,
        Mode.SKIP,
        parameters=_xbzrle(LARGE_CACHE),
        capabilities=XBZRLE,
    ),
)


MULTIFD: Mapping[str, bool] = {"multifd": True}


def compressed(mode: Mode, codec: str) -> Treatment:
    """Multifd over two channels that compress.

    Args:
        mode: OFF or SKIP.
        codec: `zstd` or `zlib`.
    """
    skipping = mode is Mode.SKIP
    return Treatment(
        f"skip+multifd+{codec}" if skipping else f"multifd+{codec}",
        f"multifd over two channels, compressed with {codec}{', fake pages skipped before that' if skipping else ''}",
        Level.QMP,
        mode,
        capabilities=MULTIFD,
        shared={CHANNELS: 2, COMPRESSION: codec},
    )


#: The treatments of the compression benchmark.
COMPRESSION_TREATMENTS = (
    *(each for each in CONVERGENCE if each.name == "skip"),
    *(compressed(mode, codec) for codec in ("zstd", "zlib") for mode in (Mode.OFF, Mode.SKIP)),
)

"""What an experiment does about fake dirty pages: a table of treatments, each ready to be applied."""

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
class Toggle:
    """A change of mode while the migration runs."""

    after_round: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Treatment:
    """A mode to start with (None: QEMU has none), toggles, and the level at which it is to be observed.

    `parameters` and `capabilities` are QEMU's own, beside the mode; `shared` are parameters of both sides.
    """

    name: str
    summary: str
    level: Level
    mode: Mode | None
    toggles: tuple[Toggle, ...] = ()
    odd_memory: bool = False  # for a QEMU that may be older than 9.0: see Experiment
    converges: bool = False  # whether it is meant to make the migration end
    parameters: Mapping[str, object] = field(default_factory=dict)
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    shared: Mapping[str, object] = field(default_factory=dict)
    postcopy_after: int | None = None  # rounds of pre-copy, where the rest is to be fetched by the destination

    @property
    def codec(self) -> str | None:
        """What multifd compresses with; None where it does not."""
        name = self.shared.get(COMPRESSION)
        return None if name is None else str(name)

    @property
    def channels(self) -> int:
        """Channels of multifd; 0 without."""
        return int(str(self.shared.get(CHANNELS, DEFAULT_CHANNELS))) if self.capabilities.get("multifd") else 0

    @property
    def steps(self) -> list[Step]:
        """The toggles, over QMP, each when its round has ended, and the turn to postcopy."""
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
    "observed by the series itself, toggled from observe to skip while it runs, after round 2",
    Level.PATCHED,
    Mode.OBSERVE,
    (Toggle(after_round=2, mode=Mode.SKIP),),
    converges=True,
)


def _xbzrle(cache_bytes: int) -> Mapping[str, object]:
    return {"xbzrle-cache-size": cache_bytes}


XBZRLE: Mapping[str, bool] = {"xbzrle": True}
SMALL_CACHE, LARGE_CACHE = 64 << 20, 512 << 20  # bytes: QEMU's default, and as much as the guest of REFERENCE has
ALONE: Mapping[str, object] = {SWITCHOVER: False}

#: What is compared for convergence, observed by QEMU's own history of rounds. Skipping goes on from the start.
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
        "the same, with XBZRLE and a cache of the size of RAM",
        Level.QMP,
        Mode.SKIP,
        parameters=_xbzrle(LARGE_CACHE),
        capabilities=XBZRLE,
    ),
)


MULTIFD: Mapping[str, bool] = {"multifd": True}


def compressed(mode: Mode, codec: str) -> Treatment:
    """Multifd over two channels that compress, in that mode."""
    skipping = mode is Mode.SKIP
    return Treatment(
        f"skip+multifd+{codec}" if skipping else f"multifd+{codec}",
        f"multifd over two channels, compressed with {codec}{', fake pages skipped before that' if skipping else ''}",
        Level.QMP,
        mode,
        capabilities=MULTIFD,
        shared={CHANNELS: 2, COMPRESSION: codec},
    )


#: What is compared where the pages of a guest compress.
COMPRESSION_TREATMENTS = (
    *(each for each in CONVERGENCE if each.name == "skip"),
    *(compressed(mode, codec) for codec in ("zstd", "zlib") for mode in (Mode.OFF, Mode.SKIP)),
)

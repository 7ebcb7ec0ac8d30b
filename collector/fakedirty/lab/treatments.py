"""What an experiment does about fake dirty pages: a table of treatments, each ready to be applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fakedirty.model.words import Level, Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode

from .migrate import Step


@dataclass(frozen=True, slots=True)
class Toggle:
    """A change of mode while the migration runs."""

    after_round: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Treatment:
    """A mode to start with (None: QEMU has none), toggles, and the level at which it is to be observed."""

    name: str
    summary: str
    level: Level
    mode: Mode | None
    toggles: tuple[Toggle, ...] = ()
    odd_memory: bool = False  # for a QEMU that may be older than 9.0: see Experiment
    converges: bool = False  # whether it is meant to make the migration end

    @property
    def steps(self) -> list[Step]:
        """The toggles, over QMP, each when its round has ended."""
        return [Step(_setting(toggle.mode), after_round=toggle.after_round) for toggle in self.toggles]


def _setting(mode: Mode) -> Callable[[Qmp], object]:
    return lambda qmp: set_mode(qmp, mode)


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

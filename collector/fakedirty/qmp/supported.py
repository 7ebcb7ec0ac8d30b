"""Which modes and hashes a QEMU has, by its schema."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.model.enums import Mode

from .monitor import Monitor
from .parameters import HASH, MODE, SET
from .rounds_command import COMMANDS
from .schema import Schema
from .validation import understanding


@dataclass(frozen=True, slots=True)
class FakeDirtySupport:
    """What a QEMU can be set to. No `modes`: it was built without the series. No `hashes`: it has one alone.

    `hashes` is None where the schema lists hashes that are not built in, as that of an earlier series does: which are
    there shows only when one is set.
    """

    modes: tuple[str, ...] = ()
    hashes: tuple[str, ...] | None = ()

    def lacks(self, mode: str | None, hash_name: str | None) -> str:
        """What it has not of these, and what it has instead; empty where it has both, for all that is known."""
        if mode is not None and mode not in self.modes:
            return f"it has no mode {mode!r}, only {_listed(self.modes)}: it was built without libxxhash"
        if hash_name is not None and self.hashes is not None and hash_name not in self.hashes:
            return f"it has no hash {hash_name!r}, only {_listed(self.hashes) or 'one, which is not chosen'}"
        return ""


def abilities(qmp: Monitor) -> FakeDirtySupport:
    """Those of the QEMU at a monitor. QmpError where it answers as none does."""
    schema = Schema.of(qmp)
    with understanding(qmp.path):
        if not schema.has_parameter(SET, MODE):
            return FakeDirtySupport()
        modes = schema.values(SET, MODE)
        # members that are left out of a build came with the command of this name
        built_in_alone = schema.has_command(COMMANDS[0])
        hashes = (schema.values(SET, HASH) or ()) if built_in_alone else None
        return FakeDirtySupport(tuple(map(str, Mode)) if modes is None else modes, hashes)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)

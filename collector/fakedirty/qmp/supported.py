"""The modes and hashes that a QEMU supports, by its schema."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.model.enums import Mode

from .monitor import Monitor
from .parameters import HASH, MODE, SET
from .rounds_command import COMMANDS
from .schema import Schema
from .validation import parsing_answers


@dataclass(frozen=True, slots=True)
class FakeDirtySupport:
    """Modes and hashes of a QEMU.

    Attributes:
        modes: empty if it was built without the patch series.
        hashes: empty if it has only one, which cannot be chosen. None if not known: the schema of an earlier patch
            series lists hashes that may not be built in, and QEMU refuses those when they are set.
    """

    modes: tuple[str, ...] = ()
    hashes: tuple[str, ...] | None = ()

    def lacks(self, mode: str | None, hash_name: str | None) -> str:
        """Which of these it does not have, and what it has instead; empty if it has both, as far as is known."""
        if mode is not None and mode not in self.modes:
            return f"it has no mode {mode!r}, only {_listed(self.modes)}: it was built without libxxhash"
        if hash_name is not None and self.hashes is not None and hash_name not in self.hashes:
            return f"it has no hash {hash_name!r}, only {_listed(self.hashes) or 'one, which is not chosen'}"
        return ""


def read_support(qmp: Monitor) -> FakeDirtySupport:
    """Read the support of the QEMU at a monitor; QmpError where the answers are not those of a QEMU."""
    schema = Schema.of(qmp)
    with parsing_answers(qmp.path):
        if not schema.has_parameter(SET, MODE):
            return FakeDirtySupport()
        modes = schema.values(SET, MODE)
        # since QEMU has the command of this name, its schema lists only the hashes that are built in
        built_in_alone = schema.has_command(COMMANDS[0])
        hashes = (schema.values(SET, HASH) or ()) if built_in_alone else None
        return FakeDirtySupport(tuple(map(str, Mode)) if modes is None else modes, hashes)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)

"""The recording with page records that an argument means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fakedirty.errors import UsageError
from fakedirty.record.load import load
from fakedirty.record.pages import pages_of


def page_recording(path: Path) -> Path:
    """The one migration at or below a path that has page records; any one if none has.

    Raises:
        RecordError: there is no recording.
        UsageError: several have page records; it names them.
    """
    directories = load(path).directories
    recorded = [directory for directory in directories if pages_of(directory) is not None]
    if len(recorded) > 1:
        raise UsageError(f"{len(recorded)} migrations in {path} have page records; name one: {_listed(recorded)}")
    return (recorded or directories)[0]


def _listed(directories: Sequence[Path]) -> str:
    shown = [str(directory) for directory in directories[:5]]
    return ", ".join(shown) + (" …" if len(directories) > 5 else "")

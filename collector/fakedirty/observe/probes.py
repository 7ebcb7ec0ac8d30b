"""Where a BPF program lies: in a directory that is given, or where the package carries it."""

from __future__ import annotations

from pathlib import Path

from fakedirty.carried import carried


def probe_file(name: str, directory: Path | None = None) -> Path:
    """The path of a probe file; MissingError when the installation lacks it."""
    return directory / name if directory else carried("probes", name)

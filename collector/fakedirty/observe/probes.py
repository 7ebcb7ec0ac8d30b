"""Where the BPF programs lie: in the source tree, or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from fakedirty.errors import MissingError

_PACKAGE = Path(__file__).resolve().parent.parent
# beside the package in a wheel, at the top of the tree in a checkout
_PLACES = (_PACKAGE / "probes", _PACKAGE.parent.parent / "probes")


def probe_file(name: str, directory: Path | None = None) -> Path:
    """The path of a probe file; MissingError when the installation lacks it."""
    for place in (directory,) if directory else _PLACES:
        if (place / name).is_file():
            return place / name
    raise MissingError(f"the probe {name} is not installed (looked in {', '.join(map(str, _PLACES))})")

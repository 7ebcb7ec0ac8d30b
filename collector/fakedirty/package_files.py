"""Files of the package that are not Python: BPF programs, guests, the QEMU patch series and its recipe, dashboards."""

from __future__ import annotations

from pathlib import Path

from .errors import MissingError

_PACKAGE = Path(__file__).resolve().parent
# in a wheel beside the modules, in a checkout at the top of the tree
_PLACES = (_PACKAGE, _PACKAGE.parent.parent)


def carried(*names: str) -> Path:
    """The path of a carried file or directory, such as ``carried("probes", "stock.c")``.

    Raises:
        MissingError: this installation does not have it.
    """
    for place in _PLACES:
        if (path := place.joinpath(*names)).exists():
            return path
    raise MissingError(f"this installation of fakedirty lacks {'/'.join(names)}: install it again, or use a checkout")

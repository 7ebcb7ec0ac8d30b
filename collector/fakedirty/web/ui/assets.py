"""Files that the page is made of: its own, and BokehJS from the installed package; there are no others."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fakedirty.errors import MissingError


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in a package."""

    package: str
    name: str
    content_type: str


ASSETS = {
    "/": Asset("fakedirty.web.ui", "page.html", "text/html; charset=utf-8"),
    "/page/page.js": Asset("fakedirty.web.ui", "page.js", "text/javascript; charset=utf-8"),
    "/page/page.css": Asset("fakedirty.web.ui", "page.css", "text/css; charset=utf-8"),
    "/page/icon.svg": Asset("fakedirty.web.ui", "icon.svg", "image/svg+xml"),
    "/page/bokeh.js": Asset("bokeh", "server/static/js/bokeh.min.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a response, the same in gzip, and its ETag."""

    plain: bytes
    zipped: bytes
    tag: str


def body(content: bytes, level: int = 1) -> Body:
    """A body for all clients; `level` is that of gzip."""
    return Body(content, gzip.compress(content, level), f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"')


@cache
def asset(path: str) -> Body:
    """The file at a path of ASSETS. Its package is found without being imported.

    Raises:
        MissingError: if the package is not installed.
    """
    file = ASSETS[path]
    found = find_spec(file.package)
    if found is None or not found.submodule_search_locations:
        raise MissingError(f"the page needs the Python package {file.package}, which is not installed")
    return body(Path(found.submodule_search_locations[0], file.name).read_bytes(), level=6)

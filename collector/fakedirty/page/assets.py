"""Files that the page is made of: its own, and BokehJS from the installed package; there are no others."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in a package."""

    package: str
    name: str
    content_type: str


BOKEH = "bokeh.server.static"
ASSETS = {
    "/": Asset(__package__, "page.html", "text/html; charset=utf-8"),
    "/page/page.js": Asset(__package__, "page.js", "text/javascript; charset=utf-8"),
    "/page/page.css": Asset(__package__, "page.css", "text/css; charset=utf-8"),
    "/page/icon.svg": Asset(__package__, "icon.svg", "image/svg+xml"),
    "/page/bokeh.js": Asset(BOKEH, "js/bokeh.min.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and its ETag; `zipped` is the same in gzip."""

    plain: bytes
    zipped: bytes
    tag: str


def body(content: bytes, level: int = 1) -> Body:
    """Made once for all who ask."""
    return Body(content, gzip.compress(content, level), f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"')


@cache
def asset(path: str) -> Body:
    """That at a path of the table."""
    of = ASSETS[path]
    return body(resources.files(of.package).joinpath(of.name).read_bytes(), level=6)

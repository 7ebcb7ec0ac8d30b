"""Which path answers what: files, the list of migrations, one of them, its map of RAM, and empty figures.

Each answer is made in the thread of its request, one of a kind at a time, and kept: who comes meanwhile is told to come
again, so that no number of browsers keeps those from being served who scrape metrics.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from prometheus_client.exposition import gzip_accepted

from fakedirty.errors import FakedirtyError
from fakedirty.export.host import AttachedCounts
from fakedirty.web.request_handler import Answer, Asked, Page

from .assets import ASSETS, Body, asset, body
from .live_migrations import LiveMigrations
from .plots import plots
from .recorded import Recorded
from .views import Views

JSON = "application/json"
PATIENCE_SECONDS = 1.0  # that one waits for another's answer of the same kind to be made

#: nothing from elsewhere, nothing in line; but BokehJS makes the style sheets of its figures, and pictures of pointers
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for again by its ETag
    "Vary": "Accept-Encoding",
}

Make = Callable[[Asked], Body]


def pages_of(
    witness: LiveMigrations,
    out: Path | None,
    attached: Callable[[], Iterable[AttachedCounts]],
    host: str | None = None,
) -> Mapping[str, Page]:
    """All pages by path: of what `witness` is told, what is recorded below `out`, and the QEMUs that are `attached`."""
    desk = Views(witness, Recorded(out), attached, socket.gethostname() if host is None else host)
    files = {path: _page(partial(_asset, path), each.content_type) for path, each in ASSETS.items()}
    return {
        **files,
        "/page/state.json": _page(_one_at_a_time(lambda asked: desk.overview())),
        "/page/migration.json": _page(_one_at_a_time(lambda asked: desk.details(_word(asked, "key")))),
        "/page/ram.json": _page(_one_at_a_time(lambda asked: desk.ram(_word(asked, "key")))),
        "/page/plots.json": _page(_one_at_a_time(_plots)),
    }


def _page(make: Make, content_type: str = JSON) -> Page:
    def page(asked: Asked) -> Answer:
        try:
            made = make(asked)
        except (KeyError, TimeoutError, FakedirtyError) as error:
            return _refusal(error)
        headers = {**HEADERS, "ETag": made.tag}
        if made.tag in asked.headers.get("If-None-Match", ""):
            return Answer(b"", status=HTTPStatus.NOT_MODIFIED, headers=headers)
        if gzip_accepted(asked.headers.get("Accept-Encoding", "")):
            return Answer(made.zipped, content_type, headers={**headers, "Content-Encoding": "gzip"})
        return Answer(made.plain, content_type, headers=headers)

    return page


def _refusal(error: Exception) -> Answer:
    match error:
        case KeyError():
            status, why = HTTPStatus.NOT_FOUND, "it is not known, or no longer"
        case TimeoutError():
            status, why = HTTPStatus.SERVICE_UNAVAILABLE, "somebody else's answer is being made: ask again"
        case _:
            status, why = HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    return Answer(json.dumps({"error": why}).encode(), JSON, status, HEADERS)


def _one_at_a_time(make: Make) -> Make:
    lock = threading.Lock()

    def made(asked: Asked) -> Body:
        if not lock.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError
        try:
            return make(asked)
        finally:
            lock.release()

    return made


def _asset(path: str, asked: Asked) -> Body:
    return asset(path)


def _plots(asked: Asked) -> Body:
    return body(plots(_word(asked, "theme")))


def _word(asked: Asked, name: str) -> str:
    """What a name of the query says; KeyError if it says nothing."""
    return parse_qs(asked.query)[name][0]

"""The routes of the page: its files, the list of migrations, one migration, its map of RAM, and empty plots.

Each response is made in a thread, one of a kind at a time, and kept. A client that has to wait for too long is refused
and asks again, so that no number of browsers keeps Prometheus from its metrics.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fakedirty.errors import FakedirtyError
from fakedirty.export.host import AttachedCounts

from .assets import ASSETS, Body, asset, body
from .live_migrations import LiveMigrations
from .plots import plots
from .recorded import Recorded
from .views import Views

JSON = "application/json"
PATIENCE_SECONDS = 1.0  # that a request waits while another of the same kind is answered

#: nothing from elsewhere, nothing inline; but BokehJS makes the style sheets of its plots, and pictures of pointers
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
    "Cache-Control": "no-cache",  # kept by the browser, which compares the ETag each time
    "Vary": "Accept-Encoding",
}

Make = Callable[[Request], Body]


def page_routes(
    live: LiveMigrations,
    out: Path | None,
    attached: Callable[[], Iterable[AttachedCounts]],
    host: str | None = None,
) -> list[Route]:
    """All routes of the page.

    Args:
        live: the migrations that this process observes or has observed.
        out: the directory below which recordings are read; None for none.
        attached: gives the QEMUs that are observed.
        host: the name to be shown; that of this host if None.
    """
    views = Views(live, Recorded(out), attached, socket.gethostname() if host is None else host)
    files = [_route(path, partial(_asset, path), each.content_type) for path, each in ASSETS.items()]
    return [
        *files,
        _route("/page/state.json", _one_at_a_time(lambda request: views.overview())),
        _route("/page/migration.json", _one_at_a_time(lambda request: views.details(request.query_params["key"]))),
        _route("/page/ram.json", _one_at_a_time(lambda request: views.ram(request.query_params["key"]))),
        _route("/page/plots.json", _one_at_a_time(_plots)),
    ]


def _route(path: str, make: Make, content_type: str = JSON) -> Route:
    def respond(request: Request) -> Response:
        try:
            made = make(request)
        except (KeyError, TimeoutError, FakedirtyError) as error:
            return _refusal(error)
        headers = {**HEADERS, "ETag": made.tag}
        if made.tag in request.headers.get("If-None-Match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        headers["Content-Type"] = content_type
        if _accepts_gzip(request):
            return Response(made.zipped, headers={**headers, "Content-Encoding": "gzip"})
        return Response(made.plain, headers=headers)

    return Route(path, respond)


def _accepts_gzip(request: Request) -> bool:
    encodings = request.headers.get("Accept-Encoding", "").split(",")
    return any(each.partition(";")[0].strip().lower() == "gzip" for each in encodings)


def _refusal(error: Exception) -> Response:
    match error:
        case KeyError():
            status, why = HTTPStatus.NOT_FOUND, "it is not known, or no longer"
        case TimeoutError():
            status, why = HTTPStatus.SERVICE_UNAVAILABLE, "another request is being answered: ask again"
        case _:
            status, why = HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    return Response(json.dumps({"error": why}).encode(), status, HEADERS, JSON)


def _one_at_a_time(make: Make) -> Make:
    lock = threading.Lock()

    def made(request: Request) -> Body:
        if not lock.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError
        try:
            return make(request)
        finally:
            lock.release()

    return made


def _asset(path: str, request: Request) -> Body:
    return asset(path)


def _plots(request: Request) -> Body:
    return body(plots(request.query_params["theme"]))

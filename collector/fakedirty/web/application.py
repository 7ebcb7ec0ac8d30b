"""The application: the user of a request is checked, a route answers, and each error is one line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from .access import Protection
from .users import REALM

PROTECTION = "protection"  # its key in the state of a request

_log = logging.getLogger(__name__)


class GuardedApplication:
    """Routes behind the protection that the connection began with, which is in the state of each request.

    A fault in a route is logged and ends nothing else.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        handlers = {HTTPException: _refusal}
        application = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
        application.router.redirect_slashes = False
        self._application: ASGIApp = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        protection: Protection = scope["state"][PROTECTION]
        users = protection.users
        if users is not None and not await users.permits(Headers(scope=scope).get("Authorization")):
            response = _line(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": REALM})
            await response(scope, receive, send)
            return
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            _log.warning("%s was given up, as the server ends", scope["path"])
        except Exception:  # noqa: BLE001 - a fault of ours in one route: starlette has answered with status 500
            _log.exception("%s could not be served", scope["path"])


def _refusal(request: Request, error: HTTPException) -> Response:
    return _line(HTTPStatus(error.status_code), dict(error.headers or {}))


def _line(status: HTTPStatus, headers: dict[str, str]) -> Response:
    return PlainTextResponse(f"{status.value} {status.phrase}\n", status, headers)

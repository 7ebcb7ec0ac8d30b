"""One request on one connection, over HTTP: who asks is checked, and the page at its path answers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Protocol

from .reloading import Fresh
from .users import REALM, Users

LONGEST = 1 << 16  # bytes of a request's first line
TEXT = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; `headers` beside the type and length of `body`."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says beside its path; `query` is what came after a question mark, as it came."""

    headers: Message
    query: str = ""


Page = Callable[[Asked], Answer]


class Site(Protocol):
    """What is served: pages by path, and who may see them (all if there are no users)."""

    @property
    def pages(self) -> Mapping[str, Page]: ...

    @property
    def users(self) -> Fresh[Users] | None: ...


class Answering(BaseHTTPRequestHandler):
    """Answers one request; OSError if the client has gone, or is silent for too long."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # where the request does not say it, so that a refusal has a status
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = TEXT

    def __init__(self, link: socket.socket, address: object, site: Site) -> None:
        self._site = site
        super().__init__(link, address, site)  # type: ignore[arg-type]  # it is told of no server

    def handle(self) -> None:
        """Read the request, and answer it."""
        self.raw_requestline = self.rfile.readline(LONGEST + 1)
        if len(self.raw_requestline) > LONGEST:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif self.raw_requestline.strip() and self.parse_request():
            self._send(self._answer())

    def _answer(self) -> Answer:
        users = self._site.users
        if users is not None and not users.get().permits(self.headers.get("Authorization")):
            return _plain(HTTPStatus.UNAUTHORIZED, **{"WWW-Authenticate": REALM})
        if self.command not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
        path, _, query = self.path.partition("?")
        page = self._site.pages.get(path)
        if page is None:
            return _plain(HTTPStatus.NOT_FOUND)
        try:
            return page(Asked(self.headers, query))
        except Exception:  # noqa: BLE001 - a fault in one page must not end the service
            _log.exception("%s could not be served", self.path)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        if answer.status is HTTPStatus.NOT_MODIFIED:  # which tells of a body that is not sent
            headers = {}
        for name, value in {"Connection": "close", **headers, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def version_string(self) -> str:
        """No more than what it is."""
        return "fakedirty"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: Prometheus asks every few seconds."""


def _plain(status: HTTPStatus, **headers: str) -> Answer:
    return Answer(f"{status.value} {status.phrase}\n".encode(), status=status, headers=headers)

"""``/metrics`` over HTTP or HTTPS, on the loopback address unless told otherwise."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fakedirty.errors import UsageError
from fakedirty.export.exporter import Exporter
from fakedirty.export.scrape import metrics_page

from .access import Access, check, is_loopback, permitted
from .request_handler import Answer, Asked, Page
from .server import Server
from .tls import certificates
from .users import users_of

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9752
BACKLOG = 128  # clients that wait until others have been answered
FRONT = b'<!doctype html><title>fakedirty</title><p>fakedirty: <a href="/metrics">metrics</a>\n'

_log = logging.getLogger(__name__)


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``:PORT``, ``PORT`` or ``[IPv6]:PORT``; port 0 takes any free one."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {text}: expected HOST:PORT, such as {DEFAULT_HOST}:{DEFAULT_PORT}")
    return host.strip("[]") or DEFAULT_HOST, int(port)


@contextmanager
def serve(
    exporter: Exporter,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    access: Access | None = None,
    pages: Mapping[str, Page] | None = None,
) -> Iterator[str]:
    """Serve `exporter` in threads for as long as the context lasts; gives the URL that answers.

    `pages` are served beside it, to the same clients; one of them may take the place of the root.
    """
    access = access or Access()
    check(access, host, port)
    tls, users = certificates(access), users_of(access.users)
    listener = _listening(host, port, access)
    bound = listener.getsockname()
    shown = f"[{host}]:{bound[1]}" if ":" in host else f"{host}:{bound[1]}"
    if not (access.closed or is_loopback(bound)):
        _log.warning("all that is served at %s can be read by whoever gets there: it is configured so", shown)
    server = Server(listener, {"/": _front, **(pages or {}), "/metrics": metrics_page(exporter)}, tls, users)
    server.start()
    try:
        yield f"{'http' if tls is None else 'https'}://{shown}/metrics"
    finally:
        server.stop()


def _listening(host: str, port: int, access: Access) -> socket.socket:
    try:
        family, address = permitted(access, host, port)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            stack.pop_all()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(
            f"cannot listen on {host}:{port}: {why}; choose another address with --listen HOST:PORT (port 0 takes any "
            "free one)"
        ) from error
    return listener


def _front(asked: Asked) -> Answer:
    """Where to go from the root."""
    return Answer(FRONT, "text/html; charset=utf-8")

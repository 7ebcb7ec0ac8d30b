"""Connections of clients that are not trusted: a bounded number at once, each for a bounded time.

uvicorn accepts connections without limit, makes its TLS context once, and waits for ever for a client that sends
nothing. Therefore connections are accepted here, and handed to uvicorn's protocol.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .access import Access

MOST_CLIENTS = 32  # at once, as each may hold a response of megabytes; others wait in the backlog
SILENT_SECONDS = 10.0  # that a client may take over its handshake, and over the next bytes of its request
WHOLE_SECONDS = 60.0  # that it may take over everything
PAUSE_SECONDS = 1.0  # after no connection could be accepted

_log = logging.getLogger(__name__)


class ClientProtocol(H11Protocol):
    """One client. A client that is too slow is disconnected without a word."""

    released: Callable[[], None] | None = None  # called once, when the connection is over
    _silent: asyncio.TimerHandle | None = None
    _whole: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the request."""
        super().connection_made(transport)
        self._whole = self.loop.call_later(WHOLE_SECONDS, self.abort)
        self._await_bytes()

    def data_received(self, data: bytes) -> None:
        """Go on to wait until the request is there."""
        super().data_received(data)
        self._await_bytes()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let another client in."""
        super().connection_lost(exc)
        for timer in filter(None, (self._silent, self._whole)):
            timer.cancel()
        self.release()

    def abort(self) -> None:
        """Disconnect at once, whatever is yet to be sent."""
        self.transport.abort()

    def release(self) -> None:
        """Call `released`, the first time."""
        released, self.released = self.released, None
        if released is not None:
            released()

    def _await_bytes(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None
        if self.cycle is None:
            self._silent = self.loop.call_later(SILENT_SECONDS, self.abort)


async def accept_connections(listener: socket.socket, server: uvicorn.Server, access: Access) -> None:
    """Accept clients at `listener` until cancelled, and hand them to `server`, whose protocol is ClientProtocol."""
    loop = asyncio.get_running_loop()
    free = asyncio.Semaphore(MOST_CLIENTS)
    beginning: set[asyncio.Task[None]] = set()
    while True:
        await free.acquire()
        try:
            link, _ = await loop.sock_accept(listener)
        except OSError as error:
            free.release()
            if not isinstance(error, ConnectionError):  # which is that of a client that has gone again
                _log.warning("a client could not be served: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)
            continue
        task = loop.create_task(_begin(link, server, access, free.release))
        beginning.add(task)
        task.add_done_callback(beginning.discard)


async def _begin(link: socket.socket, server: uvicorn.Server, access: Access, released: Callable[[], None]) -> None:
    """Make the connection, with the TLS that is in force now."""
    loop = asyncio.get_running_loop()
    protocol = ClientProtocol(server.config, server.server_state, {}, loop)
    protocol.released = released
    try:
        tls = access.current.tls
        seconds = None if tls is None else SILENT_SECONDS
        await loop.connect_accepted_socket(
            lambda: protocol, link, ssl=tls, ssl_handshake_timeout=seconds, ssl_shutdown_timeout=seconds
        )
    except OSError:  # no TLS, or not the right one, or the client has gone: nothing to be told
        link.close()
        protocol.release()
    except BaseException:
        link.close()
        protocol.release()
        raise

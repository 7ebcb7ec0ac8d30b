"""Connections of clients that are not trusted: a bounded number at once, each for a bounded time.

uvicorn's own server accepts connections without limit, makes its TLS context once, waits for ever for a client that
sends nothing, and wakes up ten times a second. Therefore connections are accepted here, and handed to its protocol.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .access import Access
from .application import PROTECTION

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
        if self.cycle is None:
            self._silent = self.loop.call_later(SILENT_SECONDS, self.abort)


class Connections:
    """All connections of one listener, for the thread of its event loop.

    Args:
        listener: a socket that listens and does not block; it stays open.
        config: names the application, and the headers of all responses.
        access: gives the TLS context for a new connection.
    """

    def __init__(self, listener: socket.socket, config: uvicorn.Config, access: Access) -> None:
        config.load()
        self._listener = listener
        self._config = config
        self._access = access
        self._state = ServerState()
        self._free = asyncio.Semaphore(MOST_CLIENTS)
        self._beginning: set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        """Accept clients until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                link, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                self._free.release()
                if not isinstance(error, ConnectionError):  # which is that of a client that has gone again
                    _log.warning("a client could not be served: %s", error)
                    await asyncio.sleep(PAUSE_SECONDS)
                continue
            task = loop.create_task(self._begin(link))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def close(self, grace_seconds: float) -> None:
        """Disconnect everybody; responses that are being made may take so long, and are given up then."""
        for connection in cast("set[ClientProtocol]", self._state.connections.copy()):
            connection.abort()
        for task in self._beginning:
            task.cancel()
        if tasks := {*self._state.tasks, *self._beginning}:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for each in late:
                each.cancel()
            if late:
                await asyncio.wait(late)

    async def _begin(self, link: socket.socket) -> None:
        """Make the connection, with the protection that is in force now."""
        loop = asyncio.get_running_loop()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode()), *self._config.encoded_headers]
        # the same protection for the handshake and for the user: a change from users to client certificates in between
        # leaves no gap
        protection = self._access.current
        protocol = ClientProtocol(self._config, self._state, {PROTECTION: protection}, loop)
        protocol.released = self._free.release
        try:
            tls = protection.tls
            seconds = None if tls is None else SILENT_SECONDS
            await loop.connect_accepted_socket(
                lambda: protocol, link, ssl=tls, ssl_handshake_timeout=seconds, ssl_shutdown_timeout=seconds
            )
        except OSError:  # the client speaks no TLS, or has no right certificate, or has gone: it needs no answer
            link.close()
            protocol.release()
        except BaseException:
            link.close()
            protocol.release()
            raise

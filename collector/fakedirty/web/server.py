"""The server: starlette on uvicorn, in a thread with an event loop of its own, for as long as a context lasts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.routing import BaseRoute

from fakedirty.errors import UsageError

from .access import Access, check_address
from .address import DEFAULT_HOST, DEFAULT_PORT, is_loopback, resolve, shown
from .application import GuardedApplication
from .connections import ClientProtocol, Connections

BACKLOG = 128  # clients that wait until others have been served
GRACE_SECONDS = 5.0  # that responses which are being made may take when the server ends

_log = logging.getLogger(__name__)


@contextmanager
def serve(
    routes: Sequence[BaseRoute],
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    web_config: Path | None = None,
    *,
    insecure: bool = False,
) -> Iterator[str]:
    """Serve `routes` while the context lasts; its value is the URL of the root, without a slash.

    Args:
        routes: of starlette; functions that are not coroutines run in threads.
        host: where to listen.
        port: 0 takes any free one.
        web_config: a file with TLS and users in Prometheus' format; it is read again when it changes.
        insecure: serve other hosts without protection, too.

    Raises:
        UsageError: if the file is wrong, protects too little for `host`, or nobody can listen there.
    """
    checker = ThreadPoolExecutor(1, thread_name_prefix="passwords")
    with contextlib.ExitStack() as stack:
        stack.callback(checker.shutdown, wait=False, cancel_futures=True)
        access = Access(web_config, checker)
        config = access.current.config
        listener = stack.enter_context(_listening(host, port, access, insecure=insecure))
        bound = listener.getsockname()
        access.unprotected = insecure or is_loopback(bound)
        place = shown(host, bound[1])
        if not (config.protects or is_loopback(bound)):
            _log.warning("everybody who reaches %s can read all that is served: it is configured so", place)
        server = _ServerThread(listener, routes, access)
        server.start()
        stack.callback(server.stop)
        yield f"{'http' if config.tls is None else 'https'}://{place}"


def _listening(host: str, port: int, access: Access, *, insecure: bool) -> socket.socket:
    try:
        address = check_address(host, port, access.current.config, insecure=insecure)
        family, _ = resolve(host, port)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
            stack.pop_all()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(
            f"cannot listen on {host}:{port}: {why}; choose another address with --listen HOST:PORT (port 0 takes any "
            "free one)"
        ) from error
    return listener


class _ServerThread:
    """Serves at `listener` from :meth:`start` to :meth:`stop`."""

    def __init__(self, listener: socket.socket, routes: Sequence[BaseRoute], access: Access) -> None:
        self._listener = listener
        self._access = access
        self._config = uvicorn.Config(
            GuardedApplication(routes),
            http=ClientProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # below it are clients that send garbage
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # one request a connection: a client that is idle keeps nobody else waiting
            headers=[("Server", "fakedirty"), ("Connection", "close")],
        )
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Begin; a client that connects before the loop runs waits in the backlog."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect everybody and accept nobody any more; return once all of it has ended."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        connections = Connections(self._listener, self._config, self._access)
        accepting = asyncio.create_task(connections.accept())
        await self._stopping.wait()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        self._listener.close()
        await connections.close(GRACE_SECONDS)

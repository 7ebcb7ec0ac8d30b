"""A server of pages for clients that are not trusted: a thread each, a bounded number of them, and each for a while.

One that says nothing, speaks no TLS, sends garbage or leaves in the middle is let go without a word.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping

from .reloading import Fresh
from .request_handler import Answering, Page
from .users import Users

MOST_CLIENTS = 32  # at once, as each may hold an answer of megabytes; others wait in the backlog
SILENT_SECONDS = 10.0  # that a client may take over its next bytes
WHOLE_SECONDS = 60.0  # that it may take over everything
LOOK_SECONDS = 1.0  # between two looks at who takes too long

_log = logging.getLogger(__name__)


class Server:
    """Answers at `listener`, which listens already and is closed in the end, from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        listener: socket.socket,
        pages: Mapping[str, Page],
        certificates: Fresh[ssl.SSLContext] | None = None,
        users: Fresh[Users] | None = None,
    ) -> None:
        self.pages = pages
        self.users = users
        self._certificates = certificates
        self._listener = listener
        self._clients = threading.BoundedSemaphore(MOST_CLIENTS)
        self._links: dict[int, tuple[float, socket.socket]] = {}  # by thread: since when, and its connection
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, name="metrics", daemon=True)

    def start(self) -> None:
        """Turn to those who come."""
        self._listener.settimeout(LOOK_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Turn to nobody any more, and from everybody."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._let_go(0)

    def _accept(self) -> None:
        while not self._stopping:
            self._let_go(WHOLE_SECONDS)
            if not self._clients.acquire(timeout=LOOK_SECONDS):
                continue
            try:
                link, address = self._listener.accept()
                threading.Thread(target=self._serve, args=(link, address), name="metrics client", daemon=True).start()
            except TimeoutError:
                self._clients.release()
            except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
                self._clients.release()
                if not self._stopping:
                    _log.warning("a client of the metrics could not be served: %s", error)
                    time.sleep(LOOK_SECONDS)

    def _serve(self, link: socket.socket, address: object) -> None:
        try:
            with contextlib.suppress(OSError):
                self._answer(link, address)
        except Exception:  # noqa: BLE001 - a fault of ours in one answer must not end the service
            _log.exception("a client of the metrics could not be served")
        finally:
            with self._lock:
                _, link = self._links.pop(threading.get_ident(), (0, link))
            link.close()
            self._clients.release()

    def _answer(self, link: socket.socket, address: object) -> None:
        since = time.monotonic()
        link.settimeout(SILENT_SECONDS)
        if self._certificates is not None:
            link = self._certificates.get().wrap_socket(link, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._links[threading.get_ident()] = since, link
        if isinstance(link, ssl.SSLSocket):
            link.do_handshake()
        Answering(link, address, self)

    def _let_go(self, seconds: float) -> None:
        """Wake the threads of those who have taken so long: what they wait for fails."""
        with self._lock:
            for since, link in self._links.values():
                if time.monotonic() - since >= seconds:
                    with contextlib.suppress(OSError):
                        socket.socket.shutdown(link, socket.SHUT_RDWR)  # TLS has no say in it

"""A Unix socket at which somebody listens who is no QEMU."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from migrating import PATIENCE_SECONDS


@contextmanager
def listening(path: Path, take: Callable[[socket.socket], None]) -> Iterator[None]:
    """Whoever comes is given to `take`, one after the other, in a thread that ends with the block."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:  # it was shut down
                    return
                take(link)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_SECONDS)  # `take` may still be at it


def drain(link: socket.socket) -> None:
    """Take whatever comes until nobody sends any more."""
    with link:
        while link.recv(1 << 20):
            pass

"""``/metrics`` over HTTP, on the loopback address unless told otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIServer

from prometheus_client import ProcessCollector, start_http_server
from prometheus_client.registry import CollectorRegistry

from fakedirty.errors import UsageError

from .exporter import Exporter

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9752


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``:PORT``, ``PORT`` or ``[IPv6]:PORT``; port 0 takes any free one."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {text}: expected HOST:PORT, such as {DEFAULT_HOST}:{DEFAULT_PORT}")
    return host.strip("[]") or DEFAULT_HOST, int(port)


@contextmanager
def serve(exporter: Exporter, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> Iterator[str]:
    """Serve `exporter` in a thread for as long as the context lasts; gives the URL that answers."""
    registry = CollectorRegistry()
    registry.register(exporter)
    ProcessCollector(registry=registry)  # the exporter's own CPU time, memory and file descriptors
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another address with "
            "--listen HOST:PORT (port 0 takes any free one)"
        ) from error
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        _stop(server, thread)


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()

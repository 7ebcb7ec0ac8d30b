"""Opens a client of Grafana's API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grafana_client import GrafanaApi

from fakedirty import __version__
from fakedirty.errors import GrafanaError

from .address import GrafanaAddress

SECONDS = 5.0  # for connecting, and between two parts of an answer


@contextmanager
def connected(place: GrafanaAddress, token: str) -> Iterator[GrafanaApi]:
    """A client, closed at the end of the context. It sends nothing before it is used."""
    if place.ca is not None and not place.ca.is_file():
        raise GrafanaError(f"cannot read {place.ca}, the authority of Grafana's certificate")
    api = GrafanaApi(
        token,
        protocol=place.scheme,
        host=f"[{place.host}]" if ":" in place.host else place.host,
        port=place.port,
        url_path_prefix=place.path,
        verify=str(place.ca) if place.ca else True,
        timeout=SECONDS,
        user_agent=f"fakedirty/{__version__}",
    )
    try:
        yield api
    finally:
        api.client.s.close()

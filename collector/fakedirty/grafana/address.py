"""The URL of a Grafana server and the token for it. Neither errors nor logs contain the token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fakedirty.errors import GrafanaError, UsageError

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class GrafanaAddress:
    """The address of a Grafana server.

    Attributes:
        scheme: ``http`` or ``https``.
        host: name or numeric address.
        port: TCP port.
        path: prefix of all paths, with a slash at its end; empty if there is none.
        ca: PEM file with the authority of its certificate; None for those of this host.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    ca: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.path}"


def parse_url(text: str, ca: Path | None = None) -> GrafanaAddress:
    """The address in a URL; UsageError if it is wrong. The message does not repeat a password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"the URL of Grafana is not valid: {error}") from None
    if parts.username is not None:  # empty if there is a password alone
        raise UsageError("the URL of Grafana has a user in it: give a token instead")
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise UsageError(f"{text}: expected the URL of a Grafana, such as http://127.0.0.1:3000")
    if parts.query or parts.fragment:
        raise UsageError(f"{text}: leave out everything after the path of Grafana")
    path = parts.path.strip("/")
    return GrafanaAddress(
        parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], f"{path}/" if path else "", ca
    )


def parse_token(text: str) -> str:
    """The token in a text, without spaces around it; GrafanaError if it cannot be a token."""
    token = text.strip()
    if not token:
        raise GrafanaError("the token for Grafana is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise GrafanaError("the token for Grafana contains characters that no token has")
    return token


def read_token(path: Path) -> str:
    """The token in a file; GrafanaError if it cannot be read."""
    try:
        return parse_token(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise GrafanaError(f"cannot read the token for Grafana: {error}") from error

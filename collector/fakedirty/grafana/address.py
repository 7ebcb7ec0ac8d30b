"""Where a Grafana is, and the token that it is asked with: read, checked, and never shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fakedirty.errors import GrafanaError, UsageError

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class GrafanaAddress:
    """`path` is where Grafana lies below its host, with a slash at its end if there is one.

    `ca` has the authority of its certificate, in PEM, where that is not among those of this host.
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
    """The place that a URL names; UsageError says what is wrong with it, and repeats no password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"the URL of Grafana is none: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("the URL of Grafana has a user in it: give a token instead")
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise UsageError(f"{text}: expected the URL of a Grafana, such as http://127.0.0.1:3000")
    if parts.query or parts.fragment:
        raise UsageError(f"{text}: leave out what stands behind the path of Grafana")
    path = parts.path.strip("/")
    return GrafanaAddress(
        parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], f"{path}/" if path else "", ca
    )


def checked_token(text: str) -> str:
    """The token without what surrounds it; GrafanaError if it cannot be one."""
    token = text.strip()
    if not token:
        raise GrafanaError("the token for Grafana is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise GrafanaError("the token for Grafana has characters in it that no token has")
    return token


def read_token(path: Path) -> str:
    """The token in a file; GrafanaError if it cannot be read."""
    try:
        return checked_token(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise GrafanaError(f"cannot read the token for Grafana: {error}") from error

"""Who may scrape: TLS, passwords and client certificates, and what may not leave the loopback address without them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from fakedirty.errors import UsageError

FILES = ("tls_certificate", "tls_key", "tls_client_ca", "users")  # fields of Access

SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
Address = tuple[socket.AddressFamily, SocketAddress]  # as bind() takes it


@dataclass(frozen=True, slots=True)
class Access:
    """Files in PEM, and one of users; each is read again when it changes. `insecure`: anywhere, without any of them."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    users: Path | None = None
    insecure: bool = False

    @property
    def closed(self) -> bool:
        """Whether what is served is for some alone, and nobody on the way can read it or their passwords."""
        return self.tls_certificate is not None and (self.users is not None or self.tls_client_ca is not None)

    def contradictions(self, spelled: Callable[[str], str]) -> Iterator[tuple[str, str]]:
        """Fields that need another, and what to say of each; `spelled` gives a field as whoever set it calls it."""
        if self.tls_certificate and not self.tls_key:
            yield "tls_certificate", f"needs its key: set {spelled('tls_key')}"
        if self.tls_key and not self.tls_certificate:
            yield "tls_key", f"needs its certificate: set {spelled('tls_certificate')}"
        if self.tls_client_ca and not self.tls_certificate:
            yield (
                "tls_client_ca",
                f"clients show certificates over TLS alone: set {spelled('tls_certificate')} and {spelled('tls_key')}",
            )


def permitted(access: Access, host: str, port: int) -> Address:
    """What `host` and `port` are to be listened at; UsageError if what is served may not be served there as it is.

    OSError or UnicodeError if there is no such host.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    if not (access.insecure or access.closed or is_loopback(address)):
        read = "passwords and all that is served" if access.users else "all that is served"
        raise UsageError(
            f"{host}:{port} is not a loopback address, and others could read {read} there: set "
            "--metrics-tls-certificate and --metrics-tls-key, and --metrics-users or --metrics-tls-client-ca "
            "(tls_certificate, tls_key, users, tls_client_ca of [metrics]); or listen on 127.0.0.1; or say that it is "
            "meant so, by --insecure-listen (insecure = true)"
        )
    return family, address


def check(access: Access, host: str, port: int) -> None:
    """UsageError for what contradicts itself, or may not be served there; a host that is unknown is not told here."""
    for field, problem in access.contradictions(option):
        raise UsageError(f"{option(field)}: {problem}")
    with contextlib.suppress(OSError, UnicodeError):
        permitted(access, host, port)


def is_loopback(address: SocketAddress) -> bool:
    """Whether this host alone gets there."""
    return ip_address(str(address[0]).partition("%")[0]).is_loopback


def option(field: str) -> str:
    """A field of :class:`Access` as the command line has it."""
    return "--insecure-listen" if field == "insecure" else f"--metrics-{field.replace('_', '-')}"

"""The TLS context for new connections, made of the files that a web configuration names."""

from __future__ import annotations

import ssl
from pathlib import Path

from fakedirty.errors import UsageError

from .web_config import TlsConfig


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """A context for the server's side.

    Raises:
        UsageError: if a file cannot be read, or is not what it must be.
    """

    def no_passphrase() -> str:
        raise UsageError(f"{config.key} has a passphrase, which nobody is there to enter: remove it (openssl pkey)")

    for path in filter(None, (config.certificate, config.key, config.client_ca)):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = config.min_version, config.max_version
    try:
        context.load_cert_chain(config.certificate, config.key, no_passphrase)
    except ssl.SSLError as error:
        raise UsageError(
            f"{config.certificate} and {config.key} are not a certificate and its key, in PEM "
            f"({error.reason or error}): name those that belong together"
        ) from error
    if config.client_ca is not None:
        _trust(context, config.client_ca)
    context.verify_mode = config.client_auth
    return context


def _trust(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except ssl.SSLError as error:
        raise UsageError(
            f"{client_ca} has no certificate in PEM ({error.reason or error}): name the certificate of the authority "
            "that signs the clients' certificates"
        ) from error


def _check_readable(path: Path) -> None:
    """OpenSSL does not say which of its files it could not read."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}; name a file that is there") from error

"""TLS of the metrics server: certificate and key, and the authority that its clients' certificates must be of."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path

from fakedirty.errors import UsageError

from .access import Access
from .reloading import Fresh


def certificates(access: Access) -> Fresh[ssl.SSLContext] | None:
    """The context for the next connection; None without TLS. UsageError if a file is wrong."""
    if access.tls_certificate is None or access.tls_key is None:
        return None
    files = [access.tls_certificate, access.tls_key, *filter(None, [access.tls_client_ca])]
    return Fresh(files, partial(_context, access.tls_certificate, access.tls_key, access.tls_client_ca))


def _context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    def no_passphrase() -> str:
        raise UsageError(f"{key} asks for a passphrase, and nobody is there to give it: take it off (openssl pkey)")

    for path in filter(None, (certificate, key, client_ca)):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        raise UsageError(
            f"{certificate} and {key} are not a certificate and its key, in PEM ({error.reason or error}): name "
            "those that belong together"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise UsageError(
                f"{client_ca} has no certificate in PEM ({error.reason or error}): name that of the authority which "
                "signs the clients' certificates"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_readable(path: Path) -> None:
    """OpenSSL does not say which of its files it could not read."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}; name a file that is there") from error

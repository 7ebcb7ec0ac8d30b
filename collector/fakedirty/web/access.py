"""Who is served: TLS and users of the web configuration as its files are now, and what may not leave this host."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import UsageError

from .address import SocketAddress, is_loopback, resolve, shown
from .tls import tls_context
from .users import Users
from .web_config import WebConfig, read_web_config

Stamp = tuple[int, int, int] | None  # None of a file that is not there

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Protection:
    """What one connection goes by: HTTP without `tls`, no login without `users`."""

    config: WebConfig
    tls: ssl.SSLContext | None
    users: Users | None


def check_access(host: str, port: int, web_config: Path | None = None, *, insecure: bool = False) -> None:
    """Check what can be checked before anything is served. An unknown host is not an error here.

    Args:
        host: where the server is to listen, with `port`.
        web_config: the web configuration file; None for no TLS and no users.
        insecure: serve other hosts without protection, too.

    Raises:
        UsageError: if the file is wrong, or `host` may not be listened on without more protection.
    """
    config = WebConfig() if web_config is None else read_web_config(web_config)
    if config.tls is not None:
        tls_context(config.tls)
    with contextlib.suppress(OSError, UnicodeError):
        check_address(host, port, config, insecure=insecure)


def check_address(host: str, port: int, config: WebConfig, *, insecure: bool) -> SocketAddress:
    """The address of `host`, if `config` protects what is served there enough.

    Raises:
        UsageError: if it does not.
        OSError, UnicodeError: if there is no such host.
    """
    _, address = resolve(host, port)
    if not (insecure or config.protects or is_loopback(address)):
        served = "passwords and all that is served" if config.users else "all that is served"
        raise UsageError(
            f"{shown(host, port)} is not a loopback address, and others could read {served} there: name a web "
            "configuration file with tls_server_config and basic_auth_users, or with client_auth_type: "
            "RequireAndVerifyClientCert (--web-config FILE; web_config of [metrics]); or listen on 127.0.0.1; or "
            "state that it is meant so with --insecure-listen (insecure = true of [metrics])"
        )
    return address


class Access:
    """The protection of new connections, for the thread of the event loop.

    Each time it compares the dates of the files, which costs a stat each. If a file has changed, all are read again.
    If they are wrong then, that is logged once for each change, and the protection from before stays in force. A change
    between HTTP and HTTPS needs a restart.

    Args:
        web_config: the web configuration file; None for no TLS and no users.
        checker: runs bcrypt for the users.

    Attributes:
        unprotected: whether a change may leave what is served without protection.

    Raises:
        UsageError: if the files are wrong at the beginning.
    """

    def __init__(self, web_config: Path | None, checker: Executor) -> None:
        self._file = web_config
        self._checker = checker
        self.unprotected = True
        self._stamps: dict[Path, Stamp] = {}
        self._protection = self._read()

    @property
    def current(self) -> Protection:
        """The protection for a connection that begins now."""
        if self._file is not None and self._stamps != _stamps(self._stamps):
            self._read_again(self._file)
        return self._protection

    def _read_again(self, file: Path) -> None:
        try:
            protection = self._read()
            self._check_change(protection.config)
        except (UsageError, OSError) as error:  # OSError: a file has gone while it was read
            _log.error("%s; what %s said before stays in force", "; ".join(str(error).splitlines()), file)
        else:
            self._protection = protection
            _log.warning("%s and the files that it names were read again", file)

    def _check_change(self, config: WebConfig) -> None:
        if (config.tls is None) != (self._protection.config.tls is None):
            raise UsageError(f"{self._file} changes between HTTP and HTTPS, which needs a restart")
        if not (self.unprotected or config.protects):
            raise UsageError(f"{self._file} would open to everybody what is served to other hosts")

    def _read(self) -> Protection:
        if self._file is None:
            return Protection(WebConfig(), None, None)
        # stamps are taken before files are read: what changes meanwhile is read once more
        self._stamps = _stamps([self._file])
        config = read_web_config(self._file)
        self._stamps |= _stamps(config.files)
        tls = None if config.tls is None else tls_context(config.tls)
        users = Users(config.users, self._checker) if config.users else None
        return Protection(config, tls, users)


def _stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

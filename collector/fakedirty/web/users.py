"""Basic authentication from a file of users, a line ``name:hash`` each, as ``htpasswd -B`` writes them.

bcrypt is slow on purpose: a password that was right is remembered until the file changes, as a keyed digest; others are
checked one at a time, so that guessing takes one core at most, and those who are known already do not wait for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from fakedirty.errors import UsageError

from .reloading import Fresh

REALM = 'Basic realm="fakedirty", charset="UTF-8"'
MOST_BYTES = 72  # of a password that bcrypt looks at; htpasswd cuts longer ones off too

# from cost 18 on a check takes half a minute
_HASH = re.compile(r"\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{53}")


class Users:
    """Those of one file, as it was when it was read."""

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        self._hashes = hashes
        self._nobody = next(iter(hashes.values()))  # what a name that is unknown is checked against: it takes as long
        self._key = secrets.token_bytes(32)
        self._known: set[bytes] = set()
        self._checking = threading.Lock()

    def permits(self, authorization: str | None) -> bool:
        """Whether the header ``Authorization`` is that of a user with the right password."""
        name, password = _credentials(authorization)
        if name is None:
            return False
        digest = hmac.digest(self._key, name.encode() + b"\0" + password, hashlib.sha256)
        if digest in self._known:
            return True
        with self._checking:
            right = bcrypt.checkpw(password[:MOST_BYTES], self._hashes.get(name, self._nobody))
        if not right or name not in self._hashes:
            return False
        self._known.add(digest)
        return True


def users_of(path: Path | None) -> Fresh[Users] | None:
    """The users of the file for the next request; None without one. UsageError if it is wrong."""
    return None if path is None else Fresh([path], lambda: Users(_read(path)))


def _read(path: Path) -> dict[str, bytes]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; name a file that htpasswd -B made") from error
    hashes = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, hashed = line.strip().partition(":")
        if not name or not colon or not _HASH.fullmatch(hashed):
            raise UsageError(f"{path}:{number}: expected NAME:HASH with a hash of bcrypt, as htpasswd -B writes it")
        hashes[name] = hashed.encode()
    if not hashes:
        raise UsageError(f"{path} has no user, so that nobody could scrape: add one with htpasswd -B {path} NAME")
    return hashes


def _credentials(authorization: str | None) -> tuple[str | None, bytes]:
    """Name and password of a header; no name if it has none that could be right."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None, b""
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon or b"\0" in password:  # bcrypt has no password with a NUL
            return None, b""
        return name.decode(), password
    except (binascii.Error, ValueError):
        return None, b""

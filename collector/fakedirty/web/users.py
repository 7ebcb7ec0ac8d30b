"""Basic authentication of users by bcrypt hashes of their passwords.

bcrypt is slow on purpose. It runs in a thread, for one password at a time, so that guessing takes one core at most and
the event loop goes on. The last results are remembered, right and wrong ones apart: guesses cannot push out the
result of a known client, which therefore does not wait for them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Executor

import bcrypt

REALM = 'Basic realm="fakedirty", charset="UTF-8"'
MOST_BYTES = 72  # of a password that bcrypt uses; htpasswd cuts longer ones off too
MOST_REMEMBERED = 256  # right results, and wrong ones


class Users:
    """The users of one web configuration, as it was when it was read.

    Args:
        hashes: bcrypt hashes by name; one at least.
        checker: runs bcrypt, with one thread.
    """

    def __init__(self, hashes: Mapping[str, bytes], checker: Executor) -> None:
        self._hashes = hashes
        self._checker = checker
        self._nobody = next(iter(hashes.values()))  # compared for an unknown name, so that it takes as long
        self._key = secrets.token_bytes(32)
        self._right = _Remembered()
        self._wrong = _Remembered()

    async def permits(self, authorization: str | None) -> bool:
        """Whether the header ``Authorization`` is that of a user with the right password."""
        name, password = _credentials(authorization)
        if name is None:
            return False
        digest = self._digest(name, password)
        if (known := self._known(digest)) is not None:
            return known
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._checker, self._check, name, password, digest)
        (self._right if right else self._wrong).add(digest)
        return right

    def _known(self, digest: bytes) -> bool | None:
        if digest in self._right:
            return True
        return False if digest in self._wrong else None

    def _check(self, name: str, password: bytes, digest: bytes) -> bool:
        if (known := self._known(digest)) is not None:  # the same client waited here twice
            return known
        right = bcrypt.checkpw(password[:MOST_BYTES], self._hashes.get(name, self._nobody))
        return right and name in self._hashes

    def _digest(self, name: str, password: bytes) -> bytes:
        """What a result is remembered by: no name and password have the digest of others, and none can be read."""
        encoded = name.encode()
        return hmac.digest(self._key, len(encoded).to_bytes(8) + encoded + password, hashlib.sha256)


class _Remembered:
    """The digests that were added last."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        self._digests[digest] = None
        while len(self._digests) > MOST_REMEMBERED:
            self._digests.popitem(last=False)


def _credentials(authorization: str | None) -> tuple[str | None, bytes]:
    """Name and password of a header; no name if it has none that could be right."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None, b""
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon or b"\0" in password:  # bcrypt takes no password with a NUL
            return None, b""
        return name.decode(), password
    except ValueError:  # binascii.Error is one, UnicodeDecodeError another
        return None, b""

"""Certificates for tests of TLS, made by openssl; users for tests of passwords, made by bcrypt at its least cost."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path


def certificate(directory: Path, name: str, signed_by: Pair | None = None) -> Pair:
    """A new pair for this host called `name`, in files of that name, its own authority unless `signed_by` another."""
    made = Pair(directory / f"{name}.crt", directory / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate), "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if signed_by is not None:
        command += ["-CA", str(signed_by.certificate), "-CAkey", str(signed_by.key)]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)
    return made


def users_file(path: Path, **passwords: str) -> Path:
    """A file of users, as ``htpasswd -B`` writes it."""
    hashes = {name: bcrypt.hashpw(word.encode()[:72], bcrypt.gensalt(4)) for name, word in passwords.items()}
    path.write_text("".join(f"{name}:{hashed.decode()}\n" for name, hashed in hashes.items()))
    return path

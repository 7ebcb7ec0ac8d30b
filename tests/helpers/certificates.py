"""Certificates made by openssl, and web configuration files with them and with users, for tests of the server."""

from __future__ import annotations

import os
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


def web_config(
    path: Path,
    own: Pair | None = None,
    client_ca: Pair | None = None,
    auth: str = "RequireAndVerifyClientCert",
    **passwords: str,
) -> Path:
    """Write a web configuration file: HTTPS with `own`, clients of `client_ca`, and users with their passwords."""
    lines = []
    if own is not None:
        lines += ["tls_server_config:", f"  cert_file: {own.certificate}", f"  key_file: {own.key}"]
    if client_ca is not None:
        lines += [f"  client_ca_file: {client_ca.certificate}", f"  client_auth_type: {auth}"]
    if passwords:
        lines.append("basic_auth_users:")
        lines += [f"  {name}: {bcrypt_hash(password)}" for name, password in passwords.items()]
    put(path, "\n".join([*lines, ""]))
    return path


def bcrypt_hash(password: str) -> str:
    """A hash at the least cost."""
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


def put(path: Path, content: str | Path) -> None:
    """Replace a file at once, as whatever renews certificates does, with a text or with the content of another."""
    between = path.with_name(f"{path.name}.new")
    between.write_text(content if isinstance(content, str) else content.read_text())
    os.replace(between, path)

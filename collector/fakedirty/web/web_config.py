"""TLS and users of the server, read from a web configuration file in Prometheus' format.

The format is that of ``--web.config.file`` of Prometheus' own exporters: ``tls_server_config`` and
``basic_auth_users``. Paths in it are relative to its directory. A key of the format that this server does not support
is refused, as ignoring it could leave a server less protected than its configuration says.
"""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.errors import UsageError

from .yaml_mapping import Entry, parse

TLS, USERS = "tls_server_config", "basic_auth_users"

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

_SUPPORTED = {
    "": (TLS, USERS),
    TLS: ("cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version", "max_version"),
}
_NOT_SUPPORTED = {
    "": ("http_server_config", "rate_limit"),
    TLS: (
        *("cert", "key", "client_ca", "client_allowed_sans"),
        *("cipher_suites", "prefer_server_cipher_suites", "curve_preferences"),
    ),
}
#: what options and keys of earlier versions are now, by their names without "metrics"
REPLACED = {
    "tls_certificate": f"{TLS}.cert_file",
    "tls_key": f"{TLS}.key_file",
    "tls_client_ca": f"{TLS}.client_ca_file, with client_auth_type: RequireAndVerifyClientCert,",
    "users": USERS,
}

_UNVERIFIED = ("RequestClientCert", "RequireClientCert", "RequireAnyClientCert")
_OLD_VERSIONS = ("TLS10", "TLS11")

# from cost 18 on a check takes half a minute
_HASH = re.compile(r"\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{53}")

Problem = tuple[int, str]  # line, and what is wrong there


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Files in PEM, and which clients and versions of TLS are accepted."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_auth: ssl.VerifyMode = ssl.CERT_NONE
    min_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    max_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True)
class WebConfig:
    """All of the file. Without `tls` the server speaks HTTP; without `users` (bcrypt hashes by name) nobody logs in."""

    tls: TlsConfig | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        if self.tls is None:
            return ()
        return tuple(filter(None, (self.tls.certificate, self.tls.key, self.tls.client_ca)))

    @property
    def protects(self) -> bool:
        """Whether only known clients are served, and nobody on the way reads what is served or a password."""
        return self.tls is not None and (bool(self.users) or self.tls.client_auth == ssl.CERT_REQUIRED)


def replaced(name: str) -> str:
    """What became of an option or a key of REPLACED, as the end of a sentence."""
    return (
        f"is now {REPLACED[name]} of a web configuration file in Prometheus' format: name that file with --web-config "
        "FILE, or with web_config of [metrics]"
    )


def read_web_config(path: Path) -> WebConfig:
    """The configuration in a file; the files that it names are not read.

    Raises:
        UsageError: a line for each problem, with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot read {path}: {why}; name a web configuration file in Prometheus' format") from error
    try:
        root = parse(text)
    except UsageError as error:
        raise UsageError(f"{path}:{error}") from error
    problems = sorted(_problems(root))
    if problems:
        raise UsageError(*(f"{path}:{line}: {problem}" for line, problem in problems))
    return _config(root, path.parent)


def _config(root: Entry, directory: Path) -> WebConfig:
    sections = root.items or {}
    users = {name: (entry.text or "").encode() for name, entry in _items(sections.get(USERS))}
    if TLS not in sections:
        return WebConfig(None, users)
    texts = {name: entry.text for name, entry in _items(sections[TLS]) if entry.text}
    files = {name: directory / text for name, text in texts.items() if name.endswith("_file")}
    tls = TlsConfig(
        files["cert_file"],
        files["key_file"],
        files.get("client_ca_file"),
        CLIENT_AUTH[texts.get("client_auth_type", "NoClientCert")],
        VERSIONS[texts.get("min_version", "TLS12")],
        VERSIONS[texts.get("max_version", "TLS13")],
    )
    return WebConfig(tls, users)


def _items(section: Entry | None) -> Iterable[tuple[str, Entry]]:
    return section.items.items() if section is not None and section.items is not None else ()


def _problems(root: Entry) -> Iterator[Problem]:
    sections = root.items or {}
    yield from _keys("", sections)
    for name in (TLS, USERS):
        entry = sections.get(name)
        if entry is not None and entry.items is None and entry.text != "":
            yield entry.line, f"{name}: expected keys with values"
    if TLS in sections:
        yield from _tls_problems(sections[TLS])
    for name, entry in _items(sections.get(USERS)):
        if not name or ":" in name:
            yield entry.line, f"{USERS}: the name of a user cannot be empty or have a colon"
        if not _HASH.fullmatch(entry.text or ""):
            yield (
                entry.line,
                f"{USERS}.{name}: expected a bcrypt hash of cost 4 to 17, as htpasswd -B makes it",
            )


def _keys(section: str, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    for name, entry in entries.items():
        key = f"{section}.{name}" if section else name
        if name in _NOT_SUPPORTED[section]:
            yield entry.line, f"{key}: this key of Prometheus' format is not supported here; take it out"
        elif name not in _SUPPORTED[section]:
            near = difflib.get_close_matches(name, _SUPPORTED[section], n=1)
            there = f"did you mean {near[0]}?" if near else f"there are {', '.join(_SUPPORTED[section])}"
            yield entry.line, f"{key}: no such key; {there}"


def _tls_problems(section: Entry) -> Iterator[Problem]:
    entries = dict(_items(section))
    yield from _keys(TLS, entries)
    known = {name: entry for name, entry in entries.items() if name in _SUPPORTED[TLS]}
    for name, entry in known.items():
        if entry.text is None or "\0" in entry.text:
            yield entry.line, f"{TLS}.{name}: expected one word"
    texts = {name: entry.text for name, entry in known.items() if entry.text}

    def at(name: str) -> int:
        return known[name].line if name in known else section.line

    for name, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if name not in texts and (other in texts or name == "cert_file"):
            yield at(other), f"{TLS}: cert_file and key_file are both needed; {name} is missing"
    auth = texts.get("client_auth_type", "NoClientCert")
    if auth in _UNVERIFIED:
        yield at("client_auth_type"), f"{TLS}.client_auth_type: {auth} verifies nothing and is not supported here"
    elif auth not in CLIENT_AUTH:
        yield at("client_auth_type"), f"{TLS}.client_auth_type: must be one of {', '.join(CLIENT_AUTH)}"
    elif auth != "NoClientCert" and "client_ca_file" not in texts:
        yield at("client_auth_type"), f"{TLS}.client_auth_type: {auth} needs client_ca_file, too"
    elif auth == "NoClientCert" and "client_ca_file" in texts:
        yield at("client_ca_file"), f"{TLS}.client_ca_file: needs client_auth_type: RequireAndVerifyClientCert, too"
    yield from _version_problems(texts, at("min_version"), at("max_version"))


def _version_problems(texts: Mapping[str, str], min_line: int, max_line: int) -> Iterator[Problem]:
    versions = texts.get("min_version", "TLS12"), texts.get("max_version", "TLS13")
    for name, version, line in (("min_version", versions[0], min_line), ("max_version", versions[1], max_line)):
        if version in _OLD_VERSIONS:
            yield line, f"{TLS}.{name}: {version} is broken and not supported here"
        elif version not in VERSIONS:
            yield line, f"{TLS}.{name}: must be one of {', '.join(VERSIONS)}"
    if versions == ("TLS13", "TLS12"):
        yield min_line, f"{TLS}.min_version: must not be above max_version"

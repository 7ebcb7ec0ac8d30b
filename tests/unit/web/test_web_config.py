"""Web configuration files: what is read, and that everything else is refused with file, line and key."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import textwrap
from pathlib import Path

import pytest
from certificates import bcrypt_hash, certificate, needs_openssl, web_config
from fakedirty.errors import UsageError
from fakedirty.web.web_config import TlsConfig, WebConfig, read_web_config
from fakedirty.web.yaml_mapping import parse
from hypothesis import given
from hypothesis import strategies as st

HASH = bcrypt_hash("secret")
FILES = "tls_server_config:\n  cert_file: tls.crt\n  key_file: /etc/tls.key\n"


def read(tmp_path: Path, text: str) -> WebConfig:
    (tmp_path / "web.yml").write_text(text)
    return read_web_config(tmp_path / "web.yml")


def problems(tmp_path: Path, text: str) -> list[str]:
    """Line and message of each problem."""
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    start = f"{tmp_path / 'web.yml'}:"
    lines = str(caught.value).splitlines()
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "---\n", "basic_auth_users:\n", "basic_auth_users: {}\n"])
def test_an_empty_file_is_http_without_users(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == WebConfig(None, {})
    assert not WebConfig().protects
    assert WebConfig().files == ()


def test_all_that_is_supported(tmp_path: Path) -> None:
    text = (
        f"{FILES}  client_ca_file: ../ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
        f"  min_version: TLS13\n  max_version: TLS13\nbasic_auth_users:\n  prometheus: '{HASH}'\n  '7': {HASH}\n"
    )
    found = read(tmp_path, text)
    newest = ssl.TLSVersion.TLSv1_3
    own, ca = tmp_path / "tls.crt", tmp_path / "../ca.crt"
    assert found.tls == TlsConfig(own, Path("/etc/tls.key"), ca, ssl.CERT_REQUIRED, newest, newest)
    assert found.users == {"prometheus": HASH.encode(), "7": HASH.encode()}
    assert found.files == (own, Path("/etc/tls.key"), ca)


def test_defaults_of_tls(tmp_path: Path) -> None:
    found = read(tmp_path, f"{FILES}  client_auth_type:\n  min_version: ''\n")
    assert found.tls == TlsConfig(tmp_path / "tls.crt", Path("/etc/tls.key"))
    assert found.tls.client_auth == ssl.CERT_NONE
    assert (found.tls.min_version, found.tls.max_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize(
    ("more", "protects"),
    [
        ("", False),
        ("  client_ca_file: ca\n  client_auth_type: VerifyClientCertIfGiven\n", False),
        ("  client_ca_file: ca\n  client_auth_type: RequireAndVerifyClientCert\n", True),
        (f"basic_auth_users:\n  one: {HASH}\n", True),
    ],
)
def test_protection_is_tls_and_known_clients(tmp_path: Path, more: str, protects: bool) -> None:
    assert read(tmp_path, FILES + more).protects is protects
    assert not read(tmp_path, f"basic_auth_users:\n  one: {HASH}\n").protects


TLS = "tls_server_config"


@pytest.mark.parametrize("key", ["http_server_config", "rate_limit"])
def test_sections_of_the_format_that_are_not_supported_are_named(tmp_path: Path, key: str) -> None:
    said = f"4:{key}: this key of Prometheus' format is not supported here; take it out"
    assert problems(tmp_path, f"{FILES}{key}:\n  http2: true\n") == [said.replace(":", ": ", 1)]


@pytest.mark.parametrize(
    "key",
    [
        *("cert", "key", "client_ca", "client_allowed_sans", "cipher_suites"),
        *("prefer_server_cipher_suites", "curve_preferences"),
    ],
)
def test_keys_of_the_format_that_are_not_supported_are_named(tmp_path: Path, key: str) -> None:
    said = f"4: {TLS}.{key}: this key of Prometheus' format is not supported here; take it out"
    assert problems(tmp_path, f"{FILES}  {key}: [x]\n") == [said]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls_server_confg: {}\n", ["1: tls_server_confg: no such key; did you mean tls_server_config?"]),
        ("x: 1\n", ["1: x: no such key; there are tls_server_config, basic_auth_users"]),
        (f"{FILES}  key_fil: x\n", [f"4: {TLS}.key_fil: no such key; did you mean key_file?"]),
        (f"{TLS}: {{}}\n", [f"1: {TLS}: cert_file and key_file are both needed; cert_file is missing"]),
        (f"{TLS}:\n", [f"1: {TLS}: cert_file and key_file are both needed; cert_file is missing"]),
        (f"{TLS}:\n  cert_file: x\n", [f"2: {TLS}: cert_file and key_file are both needed; key_file is missing"]),
        (f"\n{TLS}:\n  key_file: x\n", [f"3: {TLS}: cert_file and key_file are both needed; cert_file is missing"]),
        (f"{TLS}: yes\n", [f"1: {TLS}: cert_file and key_file are both needed; cert_file is missing",
                           f"1: {TLS}: expected keys with values"]),
        (f"{FILES}  min_version: [TLS12]\n", [f"4: {TLS}.min_version: expected one word"]),
        (f'{FILES}  client_ca_file: "a\\0b"\n  client_auth_type: VerifyClientCertIfGiven\n',
         [f"4: {TLS}.client_ca_file: expected one word"]),
        (f"{FILES}  min_version: TLS11\n", [f"4: {TLS}.min_version: TLS11 is broken and not supported here"]),
        (f"{FILES}  max_version: TLS10\n", [f"4: {TLS}.max_version: TLS10 is broken and not supported here"]),
        (f"{FILES}  max_version: '1.2'\n", [f"4: {TLS}.max_version: must be one of TLS12, TLS13"]),
        (f"{FILES}  max_version: TLS12\n  min_version: TLS13\n",
         [f"5: {TLS}.min_version: must not be above max_version"]),
        (f"{FILES}  client_auth_type: RequireAnyClientCert\n",
         [f"4: {TLS}.client_auth_type: RequireAnyClientCert verifies nothing and is not supported here"]),
        (f"{FILES}  client_auth_type: RequestClientCert\n",
         [f"4: {TLS}.client_auth_type: RequestClientCert verifies nothing and is not supported here"]),
        (f"{FILES}  client_auth_type: RequireClientCert\n",
         [f"4: {TLS}.client_auth_type: RequireClientCert verifies nothing and is not supported here"]),
        (f"{FILES}  client_auth_type: Yes\n",
         [f"4: {TLS}.client_auth_type: must be one of NoClientCert, VerifyClientCertIfGiven, "
          "RequireAndVerifyClientCert"]),
        (f"{FILES}  client_auth_type: VerifyClientCertIfGiven\n",
         [f"4: {TLS}.client_auth_type: VerifyClientCertIfGiven needs client_ca_file, too"]),
        (f"{FILES}  client_ca_file: ca\n",
         [f"4: {TLS}.client_ca_file: needs client_auth_type: RequireAndVerifyClientCert, too"]),
        ("basic_auth_users: [one]\n", ["1: basic_auth_users: expected keys with values"]),
        (f"basic_auth_users:\n  a:b: {HASH}\n",
         ["2: basic_auth_users: the name of a user cannot be empty or have a colon"]),
        (f"basic_auth_users:\n  '': {HASH}\n",
         ["2: basic_auth_users: the name of a user cannot be empty or have a colon"]),
        ("x: 1\nbasic_auth_users:\n  one: secret\n",
         ["1: x: no such key; there are tls_server_config, basic_auth_users",
          "3: basic_auth_users.one: expected a bcrypt hash of cost 4 to 17, as htpasswd -B makes it"]),
    ],
)  # fmt: skip
def test_problems_have_their_line_and_key(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


@pytest.mark.parametrize(
    "hashed",
    ["secret", "", "[x]", "$apr1$N7xQ$Cn2Nwg6vMNWGVrcMO3pl5/", f"$2y$31${'x' * 53}", f"$2y$03${'x' * 53}", HASH[:-1]],
)
def test_hashes_of_other_kinds_or_costs_are_refused_and_not_quoted(tmp_path: Path, hashed: str) -> None:
    [found] = problems(tmp_path, f"basic_auth_users:\n  one: {hashed}\n")
    assert found == "2: basic_auth_users.one: expected a bcrypt hash of cost 4 to 17, as htpasswd -B makes it"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c\n", 1),
        (f"{FILES}\tcert: x\n", 4),
        ("basic_auth_users:\n  one: x\n  one: y\n", 3),
        ("[1, 2]: 3\n", 1),
        ("- tls_server_config\n", 1),
        ("word\n", 1),
        ("a: *b\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: \0\n", 1),
    ],
)
def test_text_that_is_no_mapping_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    [found] = problems(tmp_path, text)
    assert found.startswith(f"{line}: ")


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    """Another reader could take the other one."""
    assert problems(tmp_path, f"basic_auth_users:\n  one: {HASH}\n  one: {HASH}\n") == ["3: one is here a second time"]


@pytest.mark.parametrize("text", ["", "a: {}\n", "\n\na: 1\n"])
def test_a_text_begins_at_its_first_line(text: str) -> None:
    assert parse(text).line == 1


def test_mappings_are_read_to_a_depth_of_four() -> None:
    entry = parse("a:\n  b:\n    c:\n      d:\n        e: 1\n")
    for line, key in enumerate("abcd", start=1):
        assert entry.items is not None
        entry = entry.items[key]
        assert entry.line == line
    assert (entry.text, entry.items) == (None, None)


def test_a_text_that_refers_to_itself_ends() -> None:
    entry = parse("a: &a {b: *a}\n")
    assert entry.items is not None
    assert entry.items["a"].line == 1


@given(st.text())
def test_any_text_is_read_or_refused_in_lines(text: str) -> None:
    said = ""
    try:
        parse(text)
    except UsageError as error:
        said = str(error)
    assert not said or said.partition(":")[0].isdecimal()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"cannot read {tmp_path}/none: No such file"):
        read_web_config(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=f"cannot read {tmp_path}/binary: "):
        read_web_config(tmp_path / "binary")


@needs_openssl
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus")
@pytest.mark.parametrize("auth", ["VerifyClientCertIfGiven", "RequireAndVerifyClientCert"])
def test_prometheus_takes_the_same_files(tmp_path: Path, auth: str) -> None:
    """Its own tool checks them; and one that it refuses is refused here."""
    own, authority = certificate(tmp_path, "server"), certificate(tmp_path, "authority")
    path = web_config(tmp_path / "web.yml", own, authority, auth, prometheus="secret")
    path.write_text(path.read_text().replace("basic_auth", "  min_version: TLS13\n  max_version: TLS13\nbasic_auth"))
    command = ["promtool", "check", "web-config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "SUCCESS" in done.stderr) == (0, True), done.stderr
    assert read_web_config(path).tls is not None
    path.write_text(path.read_text().replace(auth, "NoClientCert"))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    with pytest.raises(UsageError, match="client_ca_file: needs client_auth_type"):
        read_web_config(path)


DOCUMENT = (Path(__file__).parents[3] / "docs/web-configuration.md").read_text()


@pytest.mark.parametrize(
    "start", ["tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n" + more for more in ("b", "  c")]
)
def test_the_files_in_the_documents_are_right(tmp_path: Path, start: str) -> None:
    blocks = [
        textwrap.dedent(found).lstrip("\n") for found in re.findall(r"(?:^ {4,}.*\n|^\n(?= {4}))+", DOCUMENT, re.M)
    ]
    [block] = [block for block in blocks if block.startswith(start)]
    assert read(tmp_path, block).protects

"""Who is served and where: what is refused, and that changed files are in force for new connections."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from certificates import Pair, certificate, needs_openssl, put, web_config
from fakedirty.cli.main import main
from fakedirty.errors import UsageError
from fakedirty.service.config import parse
from fakedirty.web.access import Access, _stamp, check_access
from fakedirty.web.server import serve

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    directory = tmp_path_factory.mktemp("pairs")
    return {name: certificate(directory, name) for name in ("server", "other", "authority")}


@pytest.fixture
def checker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


Files = Callable[[str], Path | None]


@pytest.fixture
def files(tmp_path: Path, pairs: dict[str, Pair]) -> Files:
    """Web configuration files of each kind."""
    own, authority = pairs["server"], pairs["authority"]

    def made(kind: str) -> Path | None:
        path = tmp_path / "web.yml"
        match kind:
            case "none":
                return None
            case "users":
                return web_config(path, one="secret")
            case "tls":
                return web_config(path, own)
            case "tls and users":
                return web_config(path, own, one="secret")
            case "tls and clients":
                return web_config(path, own, authority)
            case "tls and clients if any":
                return web_config(path, own, authority, "VerifyClientCertIfGiven")
        raise AssertionError(kind)

    return made


@pytest.mark.parametrize(
    ("host", "kind", "insecure"),
    [
        *((host, "none", False) for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1")),
        ("127.0.0.1", "users", False),
        ("0.0.0.0", "tls and users", False),
        ("::", "tls and clients", False),
        ("0.0.0.0", "none", True),
        ("192.0.2.1", "users", True),
        ("no.such.host.invalid", "none", False),  # which is reported when it is listened on
    ],
)
def test_permitted(host: str, kind: str, insecure: bool, files: Files) -> None:
    check_access(host, 0, files(kind), insecure=insecure)


REFUSED = re.compile("is not a loopback address.*tls_server_config.*--web-config FILE.*--insecure-listen")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("kind", ["none", "tls", "users", "tls and clients if any"])
def test_leaving_the_loopback_address_without_protection_is_refused(host: str, kind: str, files: Files) -> None:
    path = files(kind)
    with pytest.raises(UsageError, match=REFUSED) as caught:
        check_access(host, 9752, path)
    assert ("passwords and all that is served" in str(caught.value)) is (kind == "users")
    with pytest.raises(UsageError, match=REFUSED), serve([], host, 0, path):
        pass


def test_serving_everybody_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with serve([], "0.0.0.0", 0, insecure=True) as url:
        assert f"everybody who reaches {url.removeprefix('http://')} can read all that is served" in caplog.text
    caplog.clear()
    with serve([], "127.0.0.1", 0, insecure=True):
        assert not caplog.text


def test_a_file_that_is_wrong_at_the_start_is_refused(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    own, other = pairs["server"], pairs["other"]
    none, text, locked = tmp_path / "none", tmp_path / "text", tmp_path / "locked.key"
    text.write_text("nothing\n")
    code = os.system(f"openssl pkey -in {own.key} -aes128 -passout pass:secret -out {locked} 2>/dev/null")
    assert code == 0
    for pair, client_ca, said in (
        (Pair(none, own.key), None, f"cannot read {none}: No such file"),
        (Pair(own.certificate, none), None, f"cannot read {none}"),
        (own, Pair(none, none), f"cannot read {none}"),
        (Pair(text, own.key), None, "are not a certificate and its key"),
        (Pair(own.certificate, other.key), None, "KEY_VALUES_MISMATCH.*belong together"),
        (Pair(own.certificate, locked), None, "passphrase"),
        (own, Pair(text, text), f"{text} has no certificate"),
        (Pair(tmp_path, own.key), None, f"cannot read {tmp_path}: Is a directory"),
    ):
        path = web_config(tmp_path / "web.yml", pair, client_ca)
        for attempt in (lambda path=path: check_access("127.0.0.1", 0, path), lambda path=path: enter(path)):
            with pytest.raises(UsageError, match=said):
                attempt()
    with pytest.raises(UsageError, match=f"cannot read {none}"):
        check_access("127.0.0.1", 0, none)
    with pytest.raises(UsageError, match=f"{text}:1: expected keys with values"):
        check_access("127.0.0.1", 0, text)


def enter(path: Path) -> None:
    with serve([], port=0, web_config=path):
        pass


def verify_mode(access: Access) -> ssl.VerifyMode:
    tls = access.current.tls
    assert tls is not None
    return tls.verify_mode


def test_everything_in_the_file_is_read_again(
    tmp_path: Path, pairs: dict[str, Pair], checker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    path = web_config(tmp_path / "web.yml", pairs["server"])
    access = Access(path, checker)
    first = access.current
    assert access.current is first, "nothing has changed"
    assert (verify_mode(access), first.users) == (ssl.CERT_NONE, None)
    web_config(path, pairs["server"], pairs["authority"], "VerifyClientCertIfGiven")
    assert verify_mode(access) == ssl.CERT_OPTIONAL
    web_config(path, pairs["server"], pairs["authority"])
    assert verify_mode(access) == ssl.CERT_REQUIRED
    web_config(path, pairs["server"], one="secret")
    assert verify_mode(access) == ssl.CERT_NONE
    assert access.current.users is not None
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert f"{path} and the files that it names were read again" in caplog.text


def test_the_files_that_it_names_are_read_again(
    tmp_path: Path, pairs: dict[str, Pair], checker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    own = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    put(own.certificate, pairs["server"].certificate)
    put(own.key, pairs["server"].key)
    access = Access(web_config(tmp_path / "web.yml", own), checker)
    before = access.current
    put(own.key, pairs["other"].key)  # halfway: the key of another certificate
    assert access.current is before
    assert access.current is before
    assert "KEY_VALUES_MISMATCH" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"], "once for each change"
    put(own.certificate, pairs["other"].certificate)
    assert access.current is not before


def test_a_file_that_keeps_its_size_and_place_is_read_again(tmp_path: Path, checker: ThreadPoolExecutor) -> None:
    """As an editor leaves it that writes into the same file."""
    path = web_config(tmp_path / "web.yml", one="secret")
    access = Access(path, checker)
    before = path.stat()
    path.write_text(path.read_text().replace("one:", "two:"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    assert set(access.current.config.users) == {"two"}


@pytest.mark.parametrize("kind", ["none", "users", "tls"])
def test_a_change_between_http_and_https_needs_a_restart(
    kind: str, tmp_path: Path, pairs: dict[str, Pair], checker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "web.yml"
    put(path, "")
    http, https = (lambda: web_config(path, one="secret")), (lambda: web_config(path, pairs["server"]))
    if kind == "tls":
        https()
    elif kind == "users":
        http()
    access = Access(path, checker)
    before = access.current
    (http if kind == "tls" else https)()
    assert access.current is before
    assert f"{path} changes between HTTP and HTTPS, which needs a restart" in caplog.text
    assert "stays in force" in caplog.text


def test_a_change_that_would_open_to_everybody_is_refused(
    tmp_path: Path, pairs: dict[str, Pair], checker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    path = web_config(tmp_path / "web.yml", pairs["server"], one="secret")
    access = Access(path, checker)
    access.unprotected = False
    before = access.current
    web_config(path, pairs["server"])
    assert access.current is before
    assert "would open to everybody" in caplog.text
    web_config(path, pairs["server"], pairs["authority"])
    assert access.current is not before, "from users to certificates of clients"
    access.unprotected = True
    web_config(path, pairs["server"])
    assert not access.current.config.protects


def test_what_is_wrong_later_stays_as_it_was(
    tmp_path: Path, checker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    path = web_config(tmp_path / "web.yml", one="secret")
    access = Access(path, checker)
    before = access.current
    for content in ("nothing\n", "a: 1\nb: 2\n"):
        caplog.clear()
        put(path, content)
        assert [access.current for _ in range(3)] == [before] * 3
        [record] = caplog.records
        assert str(path) in record.getMessage()
        assert "\n" not in record.getMessage()
    caplog.clear()
    path.unlink()
    assert access.current is before
    assert "No such file" in caplog.text
    web_config(path, two="other")
    assert set(access.current.config.users) == {"two"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "0.0.0.0:9752"], "0.0.0.0:9752 is not a loopback address"),
        (["--web-config", "w"], "add --listen"),
        (["--insecure-listen"], "add --listen"),
        (["--listen", ":0", "--web-config", "/no/web.yml"], "cannot read /no/web.yml"),
    ],
)
def test_the_command_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["observe", "--all", *words]) == 2
    assert said in capsys.readouterr().err


NEW = {
    "tls-certificate": "tls_server_config.cert_file",
    "tls-key": "tls_server_config.key_file",
    "tls-client-ca": "tls_server_config.client_ca_file, with client_auth_type: RequireAndVerifyClientCert,",
    "users": "basic_auth_users",
}


@pytest.mark.parametrize("name", NEW)
def test_options_of_earlier_versions_are_refused_with_the_new_ones(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["observe", "--all", "--listen", ":0", f"--metrics-{name}", "/file"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"--metrics-{name} is now {NEW[name]} of a web configuration file" in said
    assert "--web-config FILE" in said


@pytest.mark.parametrize("name", NEW)
def test_keys_of_earlier_versions_are_refused_with_the_new_ones(name: str) -> None:
    key = name.replace("-", "_")
    with pytest.raises(UsageError) as caught:
        parse(f"[metrics]\n{key} = '/file'\n")
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"2: metrics.{key}: is now {NEW[name]} of a web configuration file")
    assert "web_config of [metrics]" in line


def test_the_configuration_is_checked_as_far_as_its_own_text_goes() -> None:
    with pytest.raises(UsageError, match=r"^2: metrics.listen: 0.0.0.0:9752 is not a loopback address"):
        parse("[metrics]\nlisten = '0.0.0.0:9752'\n")
    with pytest.raises(UsageError, match=r"^1: metrics.web_config: must be an absolute path"):
        parse("metrics.web_config = 'web.yml'")
    with pytest.raises(UsageError, match=r"^1: metrics.vms_with_rounds: input should be greater than or equal to 0"):
        parse("metrics.vms_with_rounds = -1")
    parse("metrics.listen = '0.0.0.0:9752'\nmetrics.web_config = '/web.yml'")
    parse("metrics.listen = '0.0.0.0:9752'\nmetrics.insecure = true")


def test_without_protection_only_this_host_is_served() -> None:
    check_access("127.0.0.1", 9752)
    with pytest.raises(UsageError):
        check_access("0.0.0.0", 9752)
    check_access("0.0.0.0", 9752, insecure=True)


def test_a_file_of_another_size_has_changed(tmp_path: Path) -> None:
    """Also with the time and the inode that it had."""
    file = tmp_path / "users"
    file.write_text("a")
    before, times = _stamp(file), file.stat()
    file.write_text("ab")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert _stamp(file) != before

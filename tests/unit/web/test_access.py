"""Who may scrape, and where: what is refused, and what the command line and the configuration say of it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from certificates import users_file
from fakedirty.cli.main import main
from fakedirty.errors import UsageError
from fakedirty.export.exporter import Exporter
from fakedirty.service.config import parse
from fakedirty.web.access import Access, check, permitted
from fakedirty.web.serve import serve
from fakedirty.web.users import users_of

CERTIFICATE, KEY, CA, USERS = (Path(f"/etc/fakedirty/{name}") for name in ("tls.crt", "tls.key", "ca.crt", "users"))
TLS = Access(CERTIFICATE, KEY)


@pytest.mark.parametrize(
    ("host", "access"),
    [
        ("127.0.0.1", Access()),
        ("127.9.9.9", Access()),
        ("localhost", Access()),
        ("::1", Access()),
        ("127.0.0.1", Access(users=USERS)),
        ("0.0.0.0", Access(CERTIFICATE, KEY, users=USERS)),
        ("0.0.0.0", Access(CERTIFICATE, KEY, CA)),
        ("::", Access(CERTIFICATE, KEY, CA, USERS)),
        ("0.0.0.0", Access(insecure=True)),
        ("192.0.2.1", Access(users=USERS, insecure=True)),
        ("no.such.host.invalid", Access()),  # which serving tells
    ],
)
def test_permitted(host: str, access: Access) -> None:
    check(access, host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1", "2001:db8::1"])
@pytest.mark.parametrize("access", [Access(), TLS, Access(users=USERS)])
def test_leaving_the_loopback_address_is_refused(host: str, access: Access) -> None:
    said = "is not a loopback address.*--metrics-tls-certificate.*--metrics-users.*--insecure-listen"
    with pytest.raises(UsageError, match=said):
        permitted(access, host, 9752)
    with pytest.raises(UsageError, match=said), serve(Exporter(), host, 0, access):
        pass


def test_passwords_in_the_clear_are_named() -> None:
    with pytest.raises(UsageError, match="passwords and all that is served"):
        check(Access(users=USERS), "0.0.0.0", 9752)


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (Access(tls_certificate=CERTIFICATE), "--metrics-tls-certificate: needs its key: set --metrics-tls-key"),
        (Access(tls_key=KEY), "--metrics-tls-key: needs its certificate: set --metrics-tls-certificate"),
        (Access(tls_client_ca=CA), "--metrics-tls-client-ca: clients show certificates over TLS alone: set"),
    ],
)
def test_what_needs_another_is_told(access: Access, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(access, "127.0.0.1", 9752)


def test_serving_openly_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with serve(Exporter(), "0.0.0.0", 0, Access(insecure=True)):
        assert "can be read by whoever gets there" in caplog.text
    caplog.clear()
    with serve(Exporter(), "127.0.0.1", 0, Access(insecure=True)):
        assert not caplog.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "0.0.0.0:9752"], "0.0.0.0:9752 is not a loopback address"),
        (["--listen", ":9752", "--metrics-tls-key", "k"], "--metrics-tls-key: needs its certificate"),
        (["--metrics-users", "u"], "add --listen"),
        (["--insecure-listen"], "add --listen"),
        (["--listen", ":0", "--metrics-users", "/no/users"], "cannot read /no/users"),
    ],
)
def test_the_command_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["observe", "--all", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_configuration_says_the_same_with_line_and_key() -> None:
    text = "[metrics]\nlisten = '0.0.0.0:9752'\ntls_key = '/k'\ntls_client_ca = '/c'\n[observe]\npages = true\n"
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["2", "metrics.listen"],
        ["3", "metrics.tls_key"],
        ["4", "metrics.tls_client_ca"],
        ["6", "observe.pages"],
    ]
    assert "set metrics.tls_certificate" in str(caught.value)
    with pytest.raises(UsageError, match=r"1: metrics.users: must be an absolute path"):
        parse("metrics.users = 'users'")


def test_what_the_configuration_has_is_what_is_served_by() -> None:
    text = "[metrics]\ntls_certificate = '/c'\ntls_key = '/k'\nusers = '/u'\ninsecure = true"
    assert parse(text).metrics.access == Access(Path("/c"), Path("/k"), None, Path("/u"), True)
    assert parse("").metrics.access == Access()
    parse("metrics.listen = '0.0.0.0:9752'\nmetrics.insecure = true")


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_passwords(tmp_path: Path) -> None:
    users = users_of(users_file(tmp_path / "users", one="secret", two="pä:ss", long="x" * 80))
    assert users is not None
    made = users.get()
    for name, password in {"one": "secret", "two": "pä:ss", "long": "x" * 80}.items():
        assert made.permits(basic(name, password))
        assert made.permits(basic(name, password)), "which is remembered"
        assert not made.permits(basic(name, password[:3]))
    for header in (
        *(None, "", "Basic", "Basic !", "Bearer secret", "Basic " + base64.b64encode(b"one").decode()),
        *(basic("one", ""), basic("one", "se\0cret"), basic("", ""), basic("nobody", "secret"), basic("two", "secret")),
    ):
        assert not made.permits(header), header


def test_no_password_is_kept_as_it_is(tmp_path: Path) -> None:
    users = users_of(users_file(tmp_path / "users", one="secret"))
    assert users is not None
    assert users.get().permits(basic("one", "secret"))
    held = [repr(value) for value in vars(users.get()).values()]
    assert not any("secret" in each or basic("one", "secret")[6:] in each for each in held)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no user.*htpasswd -B"),
        ("# nobody\n\n", "has no user"),
        ("one:secret\n", ":1: expected NAME:HASH"),
        ("\none:$apr1$N7xQ$Cn2Nwg6vMNWGVrcMO3pl5/\n", ":2: expected NAME:HASH with a hash of bcrypt"),
        (f":$2y$05${'x' * 53}\n", ":1: expected"),
        (f"one:$2y$31${'x' * 53}\n", ":1: expected"),  # would take a month to check
    ],
)
def test_a_file_of_users_that_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        users_of(path)

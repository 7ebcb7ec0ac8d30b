"""The metrics server: TLS, passwords and certificates, files that change, and clients that misbehave."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import os
import shutil
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from certificates import Pair, certificate, needs_openssl, users_file
from fakedirty.errors import UsageError
from fakedirty.export.exporter import Exporter
from fakedirty.web import server as serving
from fakedirty.web.access import Access
from fakedirty.web.request_handler import Answer
from fakedirty.web.serve import serve
from fakedirty.web.server import Server
from made_migrations import made, tell

PATIENCE = 20.0  # seconds; a failure, never a measurement


def told() -> Exporter:
    exporter = Exporter()
    tell(made(), [exporter])
    return exporter


def trusting(*authorities: Pair, shown: Pair | None = None) -> ssl.SSLContext:
    """A client's context that trusts `authorities`, and shows a certificate of its own."""
    context = ssl.create_default_context()
    for authority in authorities:
        context.load_verify_locations(authority.certificate)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def fetch(
    url: str,
    context: ssl.SSLContext | None = None,
    user: str | None = None,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> tuple[int, Message, bytes]:
    """Status, headers and body."""
    headers = dict(headers or {})
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def status(url: str, context: ssl.SSLContext | None = None, user: str | None = None) -> int:
    return fetch(url, context, user)[0]


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def served_certificate(url: str) -> str:
    return ssl.get_server_certificate(address(url)).strip()


def put(source: Path, target: Path) -> None:
    """Replace a file at once, as whatever renews certificates does."""
    between = target.with_suffix(".new")
    shutil.copy(source, between)
    os.replace(between, target)


def test_pages_and_methods() -> None:
    with serve(told(), port=0) as url:
        root = url.removesuffix("/metrics")
        code, headers, body = fetch(url)
        assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert int(headers["Content-Length"]) == len(body)
        assert b"fakedirty_pages_total" in body
        assert status(f"{url}?x=y") == 200
        code, headers, body = fetch(url, method="HEAD")
        assert (code, body) == (200, b"")
        assert int(headers["Content-Length"]) > 1000
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            code, headers, _ = fetch(url, method=method)
            assert (code, headers["Allow"]) == (405, "GET, HEAD")
        assert [status(f"{root}{path}") for path in ("/metric", "/metrics/", "/../metrics", "/%00")] == [404] * 4
        code, headers, body = fetch(f"{root}/")
        assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b'href="/metrics"' in body


def test_format_and_encoding_are_those_asked_for() -> None:
    with serve(told(), port=0) as url:
        accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "Accept-Encoding": "gzip"}
        _, headers, body = fetch(url, headers=accept)
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body).endswith(b"# EOF\n")


@needs_openssl
def test_tls(tmp_path: Path) -> None:
    own = certificate(tmp_path, "server")
    with serve(told(), port=0, access=Access(own.certificate, own.key)) as url:
        assert url.startswith("https://127.0.0.1:")
        assert status(url, trusting(own)) == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(url, trusting())
        with pytest.raises((OSError, http.client.HTTPException)):
            fetch(url.replace("https", "http"))
        old = trusting(own)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        assert status(url, old) == 200


@needs_openssl
def test_clients_show_a_certificate(tmp_path: Path) -> None:
    own, authority, other = (certificate(tmp_path, name) for name in ("server", "authority", "other"))
    client, stranger = certificate(tmp_path, "client", authority), certificate(tmp_path, "stranger", other)
    with serve(told(), port=0, access=Access(own.certificate, own.key, authority.certificate)) as url:
        assert status(url, trusting(own, shown=client)) == 200
        for shown in (None, stranger):
            with pytest.raises(OSError):  # noqa: PT011 - whether the alert or the end of the connection comes first
                fetch(url, trusting(own, shown=shown))


@needs_openssl
def test_users_have_passwords(tmp_path: Path) -> None:
    own, users = certificate(tmp_path, "server"), users_file(tmp_path / "users", prometheus="right", other="word")
    with serve(told(), port=0, access=Access(own.certificate, own.key, users=users)) as url:
        context = trusting(own)
        for user in (None, "prometheus:wrong", "nobody:right", "other:right"):
            for path in ("/metrics", "/", "/none"):
                code, headers, body = fetch(url.replace("/metrics", path), context, user)
                assert code == 401
                assert headers["WWW-Authenticate"].startswith('Basic realm="')
                assert b"fakedirty_" not in body
        for _ in range(2):
            assert [status(url, context, user) for user in ("prometheus:right", "other:word")] == [200, 200]


@needs_openssl
def test_files_are_read_again_when_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own, new, users = certificate(tmp_path, "server"), certificate(tmp_path, "new"), tmp_path / "users"
    users_file(users, prometheus="before")
    before = own.certificate.read_text().strip()
    with serve(told(), port=0, access=Access(own.certificate, own.key, users=users)) as url:
        assert served_certificate(url) == before
        assert status(url, trusting(own), "prometheus:before") == 200
        put(new.key, own.key)  # halfway: the key of another certificate
        assert served_certificate(url) == before
        put(new.certificate, own.certificate)
        assert served_certificate(url) == new.certificate.read_text().strip() != before
        assert "read" in caplog.text
        context = trusting(new)
        users_file(users, prometheus="afterwards")
        assert status(url, context, "prometheus:before") == 401
        assert status(url, context, "prometheus:afterwards") == 200


@needs_openssl
@pytest.mark.parametrize("spoil", [lambda path: path.write_text("nothing\n"), lambda path: path.unlink()])
def test_a_file_that_is_broken_keeps_what_it_was(
    tmp_path: Path, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    own, users = certificate(tmp_path, "server"), users_file(tmp_path / "users", prometheus="right")
    context = trusting(own)
    with serve(told(), port=0, access=Access(own.certificate, own.key, users=users)) as url:
        for path in (own.certificate, users):
            caplog.clear()
            spoil(path)
            assert [status(url, context, "prometheus:right") for _ in range(5)] == [200] * 5
            assert status(url, context, "prometheus:wrong") == 401
            assert [str(path) in record.getMessage() for record in caplog.records] == [True], "once, with its name"
            assert "stays in force" in caplog.text


@needs_openssl
def test_a_file_that_is_wrong_at_the_start_is_told(tmp_path: Path) -> None:
    own, other = certificate(tmp_path, "server"), certificate(tmp_path, "other")
    none, text, locked = tmp_path / "none", tmp_path / "text", tmp_path / "locked.key"
    text.write_text("nothing\n")
    code = os.system(f"openssl pkey -in {own.key} -aes128 -passout pass:secret -out {locked} 2>/dev/null")
    assert code == 0
    users = users_file(tmp_path / "users", one="x")
    for access, said in {
        Access(none, own.key): f"cannot read {none}: No such file",
        Access(own.certificate, none): f"cannot read {none}",
        Access(own.certificate, own.key, none): f"cannot read {none}",
        Access(own.certificate, own.key, users=none): f"cannot read {none}",
        Access(text, own.key): "are not a certificate and its key",
        Access(own.certificate, other.key): "KEY_VALUES_MISMATCH.*belong together",
        Access(own.certificate, locked): "passphrase",
        Access(own.certificate, own.key, text): f"{text} has no certificate",
        Access(own.certificate, own.key, users=text): f"{text}:1: expected NAME:HASH",
        Access(tmp_path, own.key, users=users): f"cannot read {tmp_path}: Is a directory",
    }.items():
        with pytest.raises(UsageError, match=said), serve(told(), port=0, access=access):
            pass


def hang_up(link: socket.socket) -> None:
    """Leave with a reset, as a process that is killed does."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


GARBAGE = (
    b"",
    b"\0" * 4096,
    b"\x16\x03\x01\xff\xff" + os.urandom(512),
    b"GET\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nno header\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 1000,
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET http://[::1/metrics HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nAuthorization: Basic \xff\xfe\r\nContent-Length: -5\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n\r\n",
)


@needs_openssl
@pytest.mark.parametrize("tls", [False, True])
def test_clients_that_misbehave_disturb_nobody(
    tmp_path: Path, tls: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    own = certificate(tmp_path, "server")
    context = trusting(own) if tls else None
    with serve(told(), port=0, access=Access(own.certificate, own.key) if tls else None) as url:
        silent = [socket.create_connection(address(url)) for _ in range(8)]
        for garbage in GARBAGE:
            for encrypted in {False, tls}:
                link = socket.create_connection(address(url), timeout=PATIENCE)
                if encrypted and context is not None:
                    link = context.wrap_socket(link, server_hostname="localhost")
                try:
                    with contextlib.suppress(OSError):  # it may be answered, and let go, before it has said all
                        link.sendall(garbage)
                finally:
                    hang_up(link)
                assert status(url, context) == 200
        for link in silent:
            link.close()
        assert status(url, context) == 200
    assert not caplog.text
    assert capfd.readouterr() == ("", "")


def answer_to(url: str, request: bytes) -> bytes:
    with socket.create_connection(address(url), timeout=PATIENCE) as link:
        link.sendall(request)
        link.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: link.recv(1 << 16), b""))


def test_garbage_is_answered_in_a_line() -> None:
    with serve(told(), port=0) as url:
        for request, said in {
            b"GET /metrics HTTP/1.1\r\n\r\n": b"200",
            b"GET /metrics HTTP/9.9\r\n\r\n": b"505",
            b"nonsense\r\n\r\n": b"400",
            b"GET http://[::1/metrics HTTP/1.1\r\n\r\n": b"404",
        }.items():
            assert answer_to(url, request).split(b"\r\n")[0].split()[1] == said, request


def test_one_who_is_silent_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SILENT_SECONDS", 0.2)
    with serve(told(), port=0) as url, socket.create_connection(address(url), timeout=PATIENCE) as link:
        assert link.recv(1) == b""


def test_one_who_drips_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "WHOLE_SECONDS", 0.5)
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.1)
    with serve(told(), port=0) as url, socket.create_connection(address(url), timeout=PATIENCE) as link:
        link.sendall(b"GET /metrics HTTP/1.1\r\nX: ")

        def dripped() -> bool:
            try:
                link.sendall(b"x")
            except OSError:
                return False
            return True

        eventually(lambda: not dripped())


def test_no_more_clients_at_once_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait, and are answered in the end."""
    monkeypatch.setattr(serving, "MOST_CLIENTS", 3)
    inside, most, go = set[int](), [0], threading.Event()

    def page(headers: Message) -> Answer:
        inside.add(threading.get_ident())
        most[0] = max(most[0], len(inside))
        assert go.wait(PATIENCE)
        inside.discard(threading.get_ident())
        return Answer(b"done")

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener, {"/": page})
    server.start()
    url = "http://{}:{}/".format(*listener.getsockname())
    codes: list[int] = []
    clients = [threading.Thread(target=lambda: codes.append(status(url))) for _ in range(9)]
    for client in clients:
        client.start()
    eventually(lambda: len(inside) == 3)
    go.set()
    for client in clients:
        client.join()
    server.stop()
    assert codes == [200] * 9
    assert most == [3]


def test_a_page_that_fails_is_told_to_its_client_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def page(headers: Message) -> Answer:
        raise ValueError("a fault")

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener, {"/": page, "/right": lambda headers: Answer(b"right")})
    server.start()
    url = "http://{}:{}".format(*listener.getsockname())
    code, _, body = fetch(f"{url}/")
    assert (code, body) == (500, b"500 Internal Server Error\n")
    assert "a fault" in caplog.text
    assert fetch(f"{url}/right")[2] == b"right"
    server.stop()


def test_those_who_are_connected_are_let_go_in_the_end() -> None:
    with serve(told(), port=0) as url:
        link = socket.create_connection(address(url), timeout=PATIENCE)
        link.sendall(b"GET ")
        eventually(lambda: any(thread.name == "metrics client" for thread in threading.enumerate()))
        time.sleep(0.1)
    with link:
        assert link.recv(1) == b""


@needs_openssl
def test_guesses_do_not_hold_up_who_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One guess is checked at a time, and one who was right before does not wait for it."""
    users = users_file(tmp_path / "users", prometheus="right")
    with serve(told(), port=0, access=Access(users=users)) as url:
        assert status(url, user="prometheus:right") == 200
        checking, go, most, now = threading.Event(), threading.Event(), [0], [0]

        def slow(password: bytes, hashed: bytes) -> bool:
            now[0] += 1
            most[0] = max(most[0], now[0])
            checking.set()
            assert go.wait(PATIENCE)
            now[0] -= 1
            return False

        monkeypatch.setattr("bcrypt.checkpw", slow)
        codes: list[int] = []
        guessing = [threading.Thread(target=lambda: codes.append(status(url, user="prometheus:no"))) for _ in range(5)]
        for each in guessing:
            each.start()
        assert checking.wait(PATIENCE)
        assert status(url, user="prometheus:right") == 200
        go.set()
        for each in guessing:
            each.join()
        assert (codes, most) == ([401] * 5, [1])

"""The server: requests, errors in one line, TLS and users of real clients, and clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from certificates import Pair, certificate, needs_openssl, put, web_config
from fakedirty.errors import UsageError
from fakedirty.web import connections
from fakedirty.web.server import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

PATIENCE = 20.0  # seconds; a failure, never a measurement
LARGE = 20_000_000  # bytes: more than sockets hold


def page(request: Request) -> Response:
    return PlainTextResponse(f"page {request.url.query}\n")


ROUTES = [Route("/page", page), Route("/large", lambda request: Response(bytes(LARGE)))]


@contextmanager
def served(routes: Sequence[BaseRoute] = ROUTES, web_config: Path | None = None) -> Iterator[str]:
    """The URL of the page."""
    with serve(routes, port=0, web_config=web_config) as url:
        yield f"{url}/page"


def trusting(*authorities: Pair, shown: Pair | None = None) -> ssl.SSLContext:
    """A client's context that trusts `authorities`, and shows a certificate of its own."""
    context = ssl.create_default_context()
    for authority in authorities:
        context.load_verify_locations(authority.certificate)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def fetch(
    url: str, context: ssl.SSLContext | None = None, user: str | None = None, method: str = "GET"
) -> tuple[int, Message, bytes]:
    """Status, headers and body."""
    headers = {}
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


def refused(url: str, context: ssl.SSLContext) -> bool:
    """Whether the client is let in by no handshake; whether an alert or the end of the connection comes first."""
    try:
        fetch(url, context)
    except (OSError, http.client.HTTPException):
        return True
    return False


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


def test_requests_and_methods() -> None:
    with served() as url:
        code, headers, body = fetch(f"{url}?x=y")
        assert (code, body, headers["Content-Length"]) == (200, b"page x=y\n", "9")
        assert (headers["Server"], headers["Connection"]) == ("fakedirty", "close")
        assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - time.time()) < PATIENCE
        code, headers, body = fetch(url, method="HEAD")
        assert (code, body, headers["Content-Length"]) == (200, b"", "6")
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            code, headers, body = fetch(url, method=method)
            assert (code, set(headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})
            assert body == b"405 Method Not Allowed\n"
        for path in ("x", "/", "/../page", "/%00", "%2e"):
            assert fetch(url + path)[::2] == (404, b"404 Not Found\n")


def test_it_ends_with_its_context() -> None:
    with served() as url:
        assert status(url) == 200
    with pytest.raises(OSError, match="refused"):
        fetch(url)
    assert not [thread for thread in threading.enumerate() if thread.name == "web"]


def test_two_serve_side_by_side_and_one_after_the_other() -> None:
    with served() as first, served() as second:
        assert [status(first), status(second)] == [200, 200]
    with served() as third:
        assert status(third) == 200


def test_a_port_in_use_is_refused_with_what_to_do() -> None:
    with served() as url:
        port = address(url)[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}.*in use.*--listen"), serve([], port=port):
            pass


def test_a_host_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="--listen"), serve([], "no.such.host.invalid", 0):
        pass


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_ipv6() -> None:
    with serve(ROUTES, "::1", 0) as url:
        assert url.startswith("http://[::1]:")
        assert status(f"{url}/page") == 200


@needs_openssl
def test_tls(tmp_path: Path) -> None:
    own = certificate(tmp_path, "server")
    with served(web_config=web_config(tmp_path / "web.yml", own)) as url:
        assert url.startswith("https://127.0.0.1:")
        assert status(url, trusting(own)) == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(url, trusting())
        with pytest.raises((OSError, http.client.HTTPException)):
            fetch(url.replace("https", "http"))


@needs_openssl
@pytest.mark.parametrize(
    ("lines", "accepted"), [("", {2, 3}), ("  min_version: TLS13\n", {3}), ("  max_version: TLS12\n", {2})]
)
def test_versions_of_tls(tmp_path: Path, lines: str, accepted: set[int]) -> None:
    own = certificate(tmp_path, "server")
    path = web_config(tmp_path / "web.yml", own)
    put(path, path.read_text() + lines)
    with served(web_config=path) as url:
        for number, version in {2: ssl.TLSVersion.TLSv1_2, 3: ssl.TLSVersion.TLSv1_3}.items():
            context = trusting(own)
            context.minimum_version, context.maximum_version = version, version
            assert refused(url, context) is (number not in accepted)


@needs_openssl
def test_clients_show_a_certificate(tmp_path: Path) -> None:
    own, authority, other = (certificate(tmp_path, name) for name in ("server", "authority", "other"))
    client, stranger = certificate(tmp_path, "client", authority), certificate(tmp_path, "stranger", other)
    path = web_config(tmp_path / "web.yml", own, authority)
    with served(web_config=path) as url:
        assert status(url, trusting(own, shown=client)) == 200
        assert refused(url, trusting(own))
        assert refused(url, trusting(own, shown=stranger))
        web_config(path, own, authority, "VerifyClientCertIfGiven")
        assert status(url, trusting(own, shown=client)) == 200
        assert status(url, trusting(own)) == 200
        assert refused(url, trusting(own, shown=stranger))


@needs_openssl
def test_users_have_passwords(tmp_path: Path) -> None:
    own = certificate(tmp_path, "server")
    with served(web_config=web_config(tmp_path / "web.yml", own, prometheus="right", other="word")) as url:
        context = trusting(own)
        for user in (None, "prometheus:wrong", "nobody:right", "other:right"):
            for path in ("/page", "/", "/none"):
                code, headers, body = fetch(url.replace("/page", path), context, user)
                assert (code, body) == (401, b"401 Unauthorized\n")
                assert headers["WWW-Authenticate"].startswith('Basic realm="')
        for _ in range(2):
            assert [status(url, context, user) for user in ("prometheus:right", "other:word")] == [200, 200]


@needs_openssl
def test_new_connections_go_by_what_the_files_say_then(tmp_path: Path) -> None:
    """The certificate, users, the kind of authentication and the authority of clients, one after the other."""
    own, new, authority, later = (certificate(tmp_path, name) for name in ("server", "new", "authority", "later"))
    client, other = certificate(tmp_path, "client", authority), certificate(tmp_path, "other", later)
    here = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    put(here.certificate, own.certificate)
    put(here.key, own.key)
    path = web_config(tmp_path / "web.yml", here, prometheus="before")
    with served(web_config=path) as url:
        assert served_certificate(url) == own.certificate.read_text().strip()
        assert status(url, trusting(own), "prometheus:before") == 200
        put(here.key, new.key)  # halfway: the key of another certificate
        assert served_certificate(url) == own.certificate.read_text().strip()
        put(here.certificate, new.certificate)
        assert served_certificate(url) == new.certificate.read_text().strip()
        context = trusting(new)
        web_config(path, here, prometheus="afterwards")
        assert status(url, context, "prometheus:before") == 401
        assert status(url, context, "prometheus:afterwards") == 200
        web_config(path, here, authority)
        assert refused(url, context)
        assert status(url, trusting(new, shown=client)) == 200, "nobody logs in any more"
        assert refused(url, trusting(new, shown=other))
        web_config(path, here, later)
        assert refused(url, trusting(new, shown=client))
        assert status(url, trusting(new, shown=other)) == 200
        web_config(path, here)
        assert status(url, context) == 200


@needs_openssl
def test_what_others_reach_stays_protected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = certificate(tmp_path, "server")
    path = web_config(tmp_path / "web.yml", own, prometheus="right")
    with serve(ROUTES, "0.0.0.0", 0, path) as url:
        page_url = f"https://127.0.0.1:{address(url)[1]}/page"
        web_config(path, own)
        assert status(page_url, trusting(own)) == 401
        assert "would open to everybody" in caplog.text
    with serve(ROUTES, "0.0.0.0", 0, web_config(path, own, prometheus="right"), insecure=True) as url:
        page_url = f"https://127.0.0.1:{address(url)[1]}/page"
        web_config(path, own)
        assert status(page_url, trusting(own)) == 200, "which was allowed"


@needs_openssl
def test_a_connection_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    own, new = certificate(tmp_path, "server"), certificate(tmp_path, "new")
    path = web_config(tmp_path / "web.yml", own)
    with served(web_config=path) as url, socket.create_connection(address(url), timeout=PATIENCE) as link:
        secured = trusting(own).wrap_socket(link, server_hostname="localhost")
        web_config(path, new)
        assert status(url, trusting(new)) == 200
        secured.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secured.recv(12) == b"HTTP/1.1 200"


@needs_openssl
def test_no_connection_slips_through_a_change_from_users_to_certificates(tmp_path: Path) -> None:
    """Made when no certificate was needed, and used when no user is: it goes by what it began with."""
    own, authority = certificate(tmp_path, "server"), certificate(tmp_path, "authority")
    path = web_config(tmp_path / "web.yml", own, prometheus="right")
    with served(web_config=path) as url, socket.create_connection(address(url), timeout=PATIENCE) as link:
        secured = trusting(own).wrap_socket(link, server_hostname="localhost")
        web_config(path, own, authority)
        assert refused(url, trusting(own))
        secured.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secured.recv(12) == b"HTTP/1.1 401"


def hang_up(link: socket.socket) -> None:
    """Leave with a reset, as a process that is killed does."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


GARBAGE = (
    b"",
    b"\0" * 4096,
    b"\x16\x03\x01\xff\xff" + os.urandom(512),
    b"GET\r\n\r\n",
    b"GET /page HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /page HTTP/1.1\r\nno header\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000,
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET http://[::1/page HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\nContent-Length: -5\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 1000,
    b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
)


@needs_openssl
@pytest.mark.parametrize("tls", [False, True])
def test_clients_that_misbehave_disturb_nobody(
    tmp_path: Path, tls: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    own = certificate(tmp_path, "server")
    context = trusting(own) if tls else None
    with served(web_config=web_config(tmp_path / "web.yml", own) if tls else None) as url:
        silent = [socket.create_connection(address(url)) for _ in range(8)]
        for garbage in GARBAGE:
            for encrypted in {False, tls}:
                link = socket.create_connection(address(url), timeout=PATIENCE)
                if encrypted and context is not None:
                    link = context.wrap_socket(link, server_hostname="localhost")
                try:
                    with contextlib.suppress(OSError):  # the server may answer and leave before all is sent
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
        return b"".join(iter(lambda: link.recv(1 << 16), b""))


def test_garbage_is_answered_in_a_line() -> None:
    with served() as url:
        for request, code in {
            b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n": b"200",
            b"GET /page HTTP/1.0\r\n\r\n": b"200",
            b"nonsense\r\n\r\n": b"400",
            b"GET http://[::1/page HTTP/1.1\r\nHost: x\r\n\r\n": b"404",
        }.items():
            head, _, body = answer_to(url, request).partition(b"\r\n\r\n")
            assert head.split(b"\r\n")[0].split()[1] == code, request
            assert len(body.splitlines()) == 1


def test_two_requests_on_one_connection_get_one_answer() -> None:
    """The server says so: it closes the connection after the first."""
    with served() as url:
        assert answer_to(url, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n" * 2).count(b"HTTP/1.1 200") == 1


@needs_openssl
@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_is_silent_is_disconnected(tmp_path: Path, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS in the handshake, and after it."""
    monkeypatch.setattr(connections, "SILENT_SECONDS", 2.0 if tls else 0.3)  # a handshake on a busy machine takes time
    own = certificate(tmp_path, "server")
    with served(web_config=web_config(tmp_path / "web.yml", own) if tls else None) as url:
        with socket.create_connection(address(url), timeout=PATIENCE) as link:
            assert link.recv(1) == b""
        if tls:
            with socket.create_connection(address(url), timeout=PATIENCE) as link:
                secured = trusting(own).wrap_socket(link, server_hostname="localhost", suppress_ragged_eofs=True)
                assert secured.recv(1) == b""


def test_a_client_that_sends_byte_by_byte_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WHOLE_SECONDS", 0.5)
    with served() as url, socket.create_connection(address(url), timeout=PATIENCE) as link:
        link.sendall(b"GET /page HTTP/1.1\r\nX: ")

        def sent() -> bool:
            try:
                link.sendall(b"x")
            except OSError:
                return False
            return True

        eventually(lambda: not sent())


def test_a_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WHOLE_SECONDS", 0.5)
    with served() as url, socket.create_connection(address(url), timeout=PATIENCE) as link:
        link.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.5)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := link.recv(1 << 20):
                received += len(data)
        assert 0 < received < LARGE


def test_a_slow_response_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has sent a request need not send more."""
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.2)

    def slow(request: Request) -> Response:
        time.sleep(0.6)
        return PlainTextResponse("done")

    with served([Route("/page", slow)]) as url:
        assert fetch(url)[2] == b"done"


def test_no_more_clients_at_once_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait, also where some say nothing, and are answered in the end."""
    monkeypatch.setattr(connections, "MOST_CLIENTS", 3)
    inside, most, go = set[int](), [0], threading.Event()

    def waiting(request: Request) -> Response:
        inside.add(threading.get_ident())
        most[0] = max(most[0], len(inside))
        assert go.wait(PATIENCE)
        inside.discard(threading.get_ident())
        return PlainTextResponse("done")

    with served([Route("/page", waiting)]) as url:
        codes: list[int] = []
        clients = [threading.Thread(target=lambda: codes.append(status(url))) for _ in range(9)]
        for client in clients:
            client.start()
        eventually(lambda: len(inside) == 3)
        go.set()
        for client in clients:
            client.join()
    assert codes == [200] * 9
    assert most == [3]


@needs_openssl
def test_clients_that_speak_no_tls_take_places_no_longer_than_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CLIENTS", 2)
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.5)
    own = certificate(tmp_path, "server")
    with served(web_config=web_config(tmp_path / "web.yml", own)) as url:
        silent = [socket.create_connection(address(url)) for _ in range(6)]
        for link in silent[:2]:
            link.sendall(b"GET /page HTTP/1.1\r\n\r\n")
        assert status(url, trusting(own)) == 200
        for link in silent:
            link.close()


def test_a_fault_in_a_route_is_one_line_for_the_client_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fault(request: Request) -> Response:
        raise ValueError("a fault")

    with served([Route("/fault", fault), *ROUTES]) as url:
        code, _, body = fetch(url.replace("page", "fault"))
        assert (code, body) == (500, b"Internal Server Error")
        eventually(lambda: "a fault" in caplog.text)
        assert status(url) == 200
    [record] = caplog.records
    assert record.getMessage() == "/fault could not be served"


def test_those_who_are_connected_are_disconnected_in_the_end() -> None:
    began, go = threading.Event(), threading.Event()

    def waiting(request: Request) -> Response:
        began.set()
        assert go.wait(PATIENCE)
        return PlainTextResponse("done")

    with served([Route("/page", waiting)]) as url:
        half = socket.create_connection(address(url), timeout=PATIENCE)
        half.sendall(b"GET ")
        asking = socket.create_connection(address(url), timeout=PATIENCE)
        asking.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert began.wait(PATIENCE)
        threading.Timer(0.2, go.set).start()
    for link in (half, asking):
        with link:
            assert not disconnected_with(link)


def disconnected_with(link: socket.socket) -> bytes:
    """What comes before the end."""
    try:
        return link.recv(1)
    except ConnectionResetError:
        return b""


def test_no_client_can_be_accepted_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where no file descriptor is left: it is logged, and the server goes on."""
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(connections, "MOST_CLIENTS", 1)  # so that none may be lost
    accept, failures = (
        asyncio.SelectorEventLoop.sock_accept,
        [OSError(24, "Too many open files"), ConnectionAbortedError()],
    )

    async def failing(self: asyncio.SelectorEventLoop, listener: socket.socket) -> object:
        if failures:
            raise failures.pop(0)
        return await accept(self, listener)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_accept", failing)
    with served() as url:
        assert status(url) == 200
    assert [record.getMessage() for record in caplog.records] == [
        "a client could not be served: [Errno 24] Too many open files",
    ]

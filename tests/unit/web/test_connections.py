"""Connections: no more than documented, nothing left of clients that have gone, and how the server ends with them."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from certificates import certificate, needs_openssl, web_config
from fakedirty.web import connections
from fakedirty.web.access import Access
from fakedirty.web.application import GuardedApplication
from fakedirty.web.connections import ClientProtocol, Connections
from fakedirty.web.server import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PATIENCE = 20.0  # seconds; a failure, never a measurement
REQUEST = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"

Page = Callable[[Request], Awaitable[Response]]


async def page(request: Request) -> Response:
    return PlainTextResponse("page\n")


def connected(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(f"{url}/page", timeout=PATIENCE) as answer:
        return bytes(answer.read())


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


@pytest.fixture
def url() -> Iterator[str]:
    with serve([Route("/page", page)], port=0) as found:
        yield found


@asynccontextmanager
async def accepting(route: Page, config: Path | None = None) -> AsyncIterator[tuple[Connections, socket.socket]]:
    """The connections of a listener, and a client's socket that is one of them and does not block."""
    made = uvicorn.Config(
        GuardedApplication([Route("/page", route)]), http=ClientProtocol, interface="asgi3", lifespan="off"
    )
    with ThreadPoolExecutor(1) as checker, socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as link:
        listener.setblocking(False)
        found = Connections(listener, made, Access(config, checker))
        task = asyncio.create_task(found.accept())
        link.setblocking(False)
        await asyncio.get_running_loop().sock_connect(link, listener.getsockname())
        try:
            yield found, link
        finally:
            task.cancel()
            await asyncio.wait([task])


def run(work: Awaitable[None]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(work, PATIENCE)

    asyncio.run(in_time())


def test_32_clients_are_served_at_once(url: str) -> None:
    silent = [connected(url) for _ in range(32)]
    with connected(url) as another:
        another.sendall(REQUEST)
        another.settimeout(0.3)
        with pytest.raises(TimeoutError):
            another.recv(1)
        silent.pop().close()
        another.settimeout(PATIENCE)
        assert another.recv(12) == b"HTTP/1.1 200"
    for link in silent:
        link.close()


def test_a_client_has_a_minute_and_10_seconds_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def look() -> None:
        later = asyncio.get_running_loop().call_later

        def noted(delay: float, callback: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
            if delay >= 1:  # not those of this test
                waits.append(delay)
            return later(delay, callback, *arguments)

        async with accepting(page) as (_, link):
            monkeypatch.setattr(asyncio.get_running_loop(), "call_later", noted)
            link.send(REQUEST[:5])
            while len(waits) < 3:
                await asyncio.sleep(0.01)

    run(look())
    assert waits[:3] == [60, 10, 10]


def test_after_a_failure_it_waits_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def failing(self: asyncio.SelectorEventLoop, listener: socket.socket) -> object:
        raise OSError(24, "Too many open files")

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_accept", failing)
    monkeypatch.setattr(asyncio, "sleep", noted)
    with serve([], port=0):
        eventually(lambda: bool(waits))
    assert waits == [1]


def held() -> int:
    """How many clients and tasks are held in memory."""
    gc.collect()
    return sum(isinstance(each, ClientProtocol | asyncio.Task) for each in gc.get_objects())


def test_nothing_is_left_of_clients_that_have_gone(url: str) -> None:
    assert fetch(url) == b"page\n"
    time.sleep(0.1)  # until that client has gone
    before = held()
    for _ in range(8):
        fetch(url)
        connected(url).close()
    eventually(lambda: held() <= before)


@pytest.mark.parametrize("error", [ConnectionAbortedError(), MemoryError("no memory for a client")])
def test_a_client_of_whom_no_connection_can_be_made_is_let_go(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """His place is free again, and a fault of ours is logged."""
    monkeypatch.setattr(connections, "MOST_CLIENTS", 1)
    connect, failures = asyncio.SelectorEventLoop.connect_accepted_socket, [error]

    async def failing(self: asyncio.SelectorEventLoop, *arguments: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return await connect(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio.SelectorEventLoop, "connect_accepted_socket", failing)
    with serve([Route("/page", page)], port=0) as url:
        with connected(url) as link:
            assert link.recv(1) == b""
        assert fetch(url) == b"page\n"
        if isinstance(error, MemoryError):
            eventually(lambda: "no memory for a client" in caplog.text)
    assert bool(caplog.text) is isinstance(error, MemoryError)


def test_responses_that_are_being_made_are_waited_for() -> None:
    done = []

    async def slow(request: Request) -> Response:
        done.append("began")
        await asyncio.sleep(0.2)
        done.append("ended")
        return PlainTextResponse("page\n")

    async def end() -> None:
        async with accepting(slow) as (found, link):
            link.send(REQUEST)
            while not done:
                await asyncio.sleep(0.01)
            await found.close(PATIENCE)
            assert done == ["began", "ended"]
            assert link.recv(1) == b""

    run(end())


def test_responses_that_take_too_long_are_given_up() -> None:
    done = []

    async def endless(request: Request) -> Response:
        done.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            done.append("given up")
        raise AssertionError

    async def end() -> None:
        async with accepting(endless) as (found, link):
            link.send(REQUEST)
            while not done:
                await asyncio.sleep(0.01)
            await found.close(0.05)
            assert done == ["began", "given up"]

    run(end())


@needs_openssl
def test_clients_in_their_handshake_are_disconnected_in_the_end(tmp_path: Path) -> None:
    path = web_config(tmp_path / "web.yml", certificate(tmp_path, "server"))

    async def end() -> None:
        async with accepting(page, path) as (found, link):
            while not found._beginning:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            before = time.monotonic()
            await found.close(PATIENCE)
            assert time.monotonic() - before < connections.SILENT_SECONDS / 2, "it is not waited for"
            assert link.recv(1) == b""

    run(end())

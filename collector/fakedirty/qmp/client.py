"""A QMP connection for code that is not asynchronous, over QEMU's own client library.

The library's event loop runs in one background thread per connection, so events are taken in, and
QEMU is never kept waiting, while nobody asks; every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import select
import threading
import time
from collections import deque
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from fakedirty.errors import QmpError
from fakedirty.linux.process import Process

from . import peer
from .address import Place
from .connect import Link, Route, routes
from .holder import describe_holder

T = TypeVar("T")
Message = dict[str, Any]

EVENTS_KEPT = 10_000  # for whoever asks for them; the oldest go first

# The library logs what it also raises; the errors below say it once.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


class QmpClosedError(QmpError):
    """The connection ended: QEMU quit, was killed, or closed the socket."""


class QmpRefusedError(QmpError):
    """QEMU answered a command with an error; the connection lives on."""

    def __init__(self, command: str, error_class: str, reason: str) -> None:
        super().__init__(f"QEMU refused {command}: {reason}")
        self.error_class = error_class
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Seconds:
    """How long things of a connection may take; `life` is all of it."""

    connect: float
    answer: float
    life: float | None


class Qmp:
    """One client of one QMP socket. Made by :meth:`connect`, ended by :meth:`close` or by ``with``."""

    def __init__(
        self, path: Place, link: Link, client: QMPClient, loop: asyncio.AbstractEventLoop, answer_timeout: float
    ) -> None:
        self.path = path
        self._link = link
        self._client = client
        self._loop = loop
        self._answer_timeout = answer_timeout
        self._events: deque[Message] = deque(maxlen=EVENTS_KEPT)
        self._news = threading.Condition()
        self._closed = False
        self._parting: asyncio.Task[None] | None = None
        self._limit: threading.Timer | None = None
        self._thread = threading.Thread(target=_serve, args=(loop,), name=f"qmp {path}", daemon=True)
        self._thread.start()

    @classmethod
    def connect(
        cls,
        place: str | Place,
        timeout: float = 1.5,
        answer_timeout: float = 30.0,
        process: Process | None = None,
        life: float | None = None,
    ) -> Self:
        """Connect and negotiate within `timeout` seconds; later commands may take `answer_timeout` each.

        With `process`, what answers is used only once it is proven to be that process. With `life`, the connection is
        ended so many seconds after it was made, whatever is done with it then.
        Raises PeerError where it is not, QmpError when the socket is absent, refuses, is held by another client, or
        speaks no QMP.
        """
        place = Path(place) if isinstance(place, str) else place
        within = _Seconds(timeout, answer_timeout, life)
        problem: QmpError | None = None
        for route in routes(place, process):
            try:
                return cls._by(route, place, within, process)
            except QmpError as error:
                problem = problem or error
            except OSError as error:  # of our own: no descriptor is left, or no memory
                problem = problem or QmpError(f"cannot connect to {place}: {error.strerror or error}")
        assert problem is not None
        raise problem

    @classmethod
    def _by(cls, route: Route, place: Place, within: _Seconds, process: Process | None) -> Self:
        deadline = time.monotonic() + within.connect
        link = route(deadline)
        connected = time.monotonic()
        loop = asyncio.new_event_loop()
        qmp = cls(place, link, QMPClient(), loop, within.answer)
        try:
            doubt = _doubt(link, process, deadline)
            qmp._await(qmp._client.connect(link.socket), max(deadline - time.monotonic(), 0))
            if within.life is not None:
                qmp._end_in(connected + within.life - time.monotonic())
            if process is not None and doubt is not None:
                qmp._prove(process, doubt)
        except TimeoutError:
            qmp._stop()  # before the search for who holds it: others wait, too
            raise QmpError(
                f"{place} sent no QMP greeting within {within.connect:g} s. {describe_holder(Path(str(place)))}"
            ) from None
        except ConnectError as error:
            qmp._stop()
            raise QmpError(
                f"{place} does not speak QMP ({_cause(error)}): name the socket that QEMU was given with -qmp"
            ) from error
        except BaseException:
            qmp._stop()
            raise
        with qmp._news:
            if not qmp._closed:  # its life may be over already
                loop.call_soon_threadsafe(loop.create_task, qmp._collect())
        return qmp

    def leads_to(self, process: Process, *, by_threads: bool) -> bool:
        """Whether what answers is shown to be this process: by a socket of it, or else by its threads."""
        if not by_threads:
            return peer.doubt(self._link, process) is None
        return not self._doubt_by_threads(process)

    def _prove(self, process: Process, doubt: peer.Reason) -> None:
        """By its threads, as its sockets do not show it."""
        if more := self._doubt_by_threads(process):
            raise peer.refusal(self.path, process, (doubt(), more))

    def _doubt_by_threads(self, process: Process) -> str:
        try:
            return peer.doubt_by_threads(self.path, process, self.execute)
        except QmpError as error:
            return str(error)

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """What QEMU returns for `command`; names with dashes are given in the mapping."""
        try:
            return self._await(self._client.execute(command, {**(arguments or {}), **named}), self._answer_timeout)
        except TimeoutError:
            raise QmpError(
                f"QEMU at {self.path} did not answer {command} within {self._answer_timeout:g} s: "
                "it may be stopped, or its main loop blocked"
            ) from None
        except ExecuteError as error:
            raise QmpRefusedError(command, error.error_class, str(error)) from error
        except (QMPError, concurrent.futures.CancelledError) as error:
            self._raise_closed(command, error)

    def drain_events(self) -> list[Message]:
        """The events that came since the last call, oldest first. Does not wait."""
        with self._news:
            events = list(self._events)
            self._events.clear()
            return events

    def wait_event(self, names: str | Collection[str], timeout: float) -> Message | None:
        """The oldest event that bears one of `names`, waited for up to `timeout` seconds; else None.

        Events of other names stay where they are. Raises QmpClosedError when the connection ends first.
        """
        wanted = {names} if isinstance(names, str) else set(names)
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for event in self._events:
                    if event["event"] in wanted:
                        self._events.remove(event)
                        return event
                if self._closed:
                    self._raise_closed("waiting for " + ", ".join(sorted(wanted)), None)
                if (left := deadline - time.monotonic()) <= 0:
                    return None
                self._news.wait(left)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, from either side."""
        return self._closed

    def close(self) -> None:
        """End the connection; what failed in it before is of no interest now. May be called twice."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _collect(self) -> None:
        """Move events from the library to where any thread can take them, until the connection ends."""
        with contextlib.suppress(asyncio.CancelledError):
            reader = asyncio.ensure_future(self._take_events())
            while self._client.runstate.name == "RUNNING":
                await self._client.runstate_changed()
            reader.cancel()
        self._end()

    async def _take_events(self) -> None:
        async for event in self._client.events:
            with self._news:
                self._events.append(dict(event))
                self._news.notify_all()

    def _begin_to_part(self) -> None:
        """In the connection's thread: end it, once, however many ask for it."""
        if self._parting is None:
            self._parting = self._loop.create_task(self._part())

    async def _part(self) -> None:
        """Disconnect, tell those who wait, and let the thread end."""
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError, AssertionError):
            await asyncio.wait_for(self._client.disconnect(), 1.0)
        self._end()
        self._loop.stop()

    def _end(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _await(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run `work` in the connection's thread and wait for it here."""
        with self._news:  # who ends the connection, in its thread, first says so
            if self._closed:
                work.close()
                raise QMPError("closed")
            future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout), self._loop)
        return future.result()

    def _raise_closed(self, doing: str, error: BaseException | None) -> NoReturn:
        raise QmpClosedError(
            f"the QMP connection to {self.path} is closed (while {doing}): "
            "QEMU has quit or was killed, or the connection was ended here"
        ) from error

    def _end_in(self, seconds: float) -> None:
        self._limit = threading.Timer(seconds, self.close)
        self._limit.daemon = True
        self._limit.start()

    def _stop(self) -> None:
        """End the connection and its thread."""
        if self._limit is not None:
            self._limit.cancel()
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop may end between the two
                self._loop.call_soon_threadsafe(self._begin_to_part)
            self._thread.join()
        self._link.socket.close()


def _doubt(link: Link, process: Process | None, deadline: float) -> peer.Reason | None:
    """Why the other end is not shown to be the process's, once it has begun to greet; None where it is shown.

    TimeoutError where it does not greet in time.
    """
    if process is None:
        return None
    greeting = select.poll()
    greeting.register(link.socket, select.POLLIN)
    if not greeting.poll(max(deadline - time.monotonic(), 0) * 1000):
        raise TimeoutError
    return peer.doubt(link, process)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """The background thread: run the loop until it is stopped, then end what is left in it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(asyncio.sleep(0))  # what was given to it before it stopped is a task then
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()


def _cause(error: ConnectError) -> str:
    """The reason on one line: the library's own goes on with what it received."""
    if isinstance(error.exc, EOFError):
        return "it closed the connection before its greeting"
    return str(error.exc).splitlines()[0] if str(error.exc) else type(error.exc).__name__

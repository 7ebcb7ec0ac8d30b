"""A blocking QMP connection, over QEMU's own asynchronous client library.

The library's event loop runs in one background thread per connection. So events are read, and QEMU is never kept
waiting, while no method runs. Every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
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
from .event_loop import run_loop
from .holder import describe_holder

T = TypeVar("T")
Message = dict[str, Any]

EVENTS_KEPT = 10_000  # until a caller takes them; the oldest are dropped first

# The library logs the errors that it raises; one report is enough.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


class QmpClosedError(QmpError):
    """The connection ended: QEMU quit, was killed, or closed the socket."""


class QmpRefusedError(QmpError):
    """QEMU answered a command with an error; the connection stays open."""

    def __init__(self, command: str, error_class: str, reason: str) -> None:
        super().__init__(f"QEMU refused {command}: {reason}")
        self.error_class = error_class
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Time limits of a connection, in seconds: connecting, one answer, and its whole life (None: no limit)."""

    connect: float
    answer: float
    life: float | None


class Qmp:
    """A connection to one QMP socket, opened by :meth:`connect` and closed by :meth:`close` or by ``with``."""

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
        self._thread = threading.Thread(target=run_loop, args=(loop,), name=f"qmp {path}", daemon=True)
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
        """Connect, prove the peer and negotiate capabilities.

        Args:
            place: the socket; a string is a path.
            timeout: seconds for all of this.
            answer_timeout: seconds for each later command.
            process: the process that has to answer; the connection is used only once that is proven. None: no proof.
            life: seconds after which the connection is closed, whatever it does then; None: no limit.

        Raises:
            PeerError: the peer is not proven to be `process`.
            QmpError: the socket is absent, refuses, serves another client, or is not a QMP socket.
        """
        place = Path(place) if isinstance(place, str) else place
        within = _Seconds(timeout, answer_timeout, life)
        problem: QmpError | None = None
        for route in routes(place, process):
            try:
                return cls._by(route, place, within, process)
            except QmpError as error:
                problem = problem or error
            except OSError as error:  # this process has no descriptor left, or no memory
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
            doubt = None if process is None else peer.doubt_after_greeting(link, process, deadline)
            qmp._await(qmp._client.connect(link.socket), max(deadline - time.monotonic(), 0))
            if within.life is not None:
                qmp._end_in(connected + within.life - time.monotonic())
            if process is not None and doubt is not None:
                qmp._prove(process, doubt)
        except TimeoutError:
            qmp._stop()  # first, because others wait for the socket; the search for its holder takes time
            raise QmpError(
                f"{place} sent no QMP greeting within {within.connect:g} s. {describe_holder(Path(str(place)))}"
            ) from None
        except ConnectError as error:
            qmp._stop()
            raise QmpError(
                f"{place} is not a QMP socket ({_cause(error)}): name the socket that QEMU was given with -qmp"
            ) from error
        except BaseException:
            qmp._stop()
            raise
        with qmp._news:
            if not qmp._closed:  # its life may have ended already
                loop.call_soon_threadsafe(loop.create_task, qmp._collect())
        return qmp

    def leads_to(self, process: Process, *, by_threads: bool) -> bool:
        """Whether the peer is proven to be `process`: by its open sockets or, with `by_threads`, by its threads."""
        if not by_threads:
            return peer.doubt(self._link, process) is None
        return not self._doubt_by_threads(process)

    def _prove(self, process: Process, doubt: peer.Reason) -> None:
        """Prove the peer by its threads, where its sockets did not."""
        if more := self._doubt_by_threads(process):
            raise peer.refusal(self.path, process, (doubt(), more))

    def _doubt_by_threads(self, process: Process) -> str:
        try:
            return peer.doubt_by_threads(self.path, process, self.execute)
        except QmpError as error:
            return str(error)

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """Execute a command and return QEMU's answer.

        Args:
            command: its name.
            arguments: those whose names have dashes.
            named: the others.

        Raises:
            QmpRefusedError: QEMU answered with an error.
            QmpClosedError: the connection has ended.
            QmpError: there was no answer in time.
        """
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
        """Take the events that arrived since the last call, oldest first. Does not wait."""
        with self._news:
            events = list(self._events)
            self._events.clear()
            return events

    def wait_event(self, names: str | Collection[str], timeout: float) -> Message | None:
        """Take the oldest event with one of `names`; other events stay.

        Args:
            names: names of events.
            timeout: seconds to wait for one.

        Returns:
            None if none arrived in time.

        Raises:
            QmpClosedError: the connection ended first.
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
        """Close the connection; earlier failures are not reported again. May be called twice."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _collect(self) -> None:
        """Move events from the library to `_events`, for all threads, until the connection ends."""
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
        """In the connection's thread: end the connection once, however many threads end it."""
        if self._parting is None:
            self._parting = self._loop.create_task(self._part())

    async def _part(self) -> None:
        """Disconnect, wake the threads that wait for events, and let this thread end."""
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
        with self._news:  # _end() sets `_closed` before the connection's thread ends
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


def _cause(error: ConnectError) -> str:
    """The reason on one line: the library's message goes on with the data that it received."""
    if isinstance(error.exc, EOFError):
        return "it closed the connection before its greeting"
    return str(error.exc).splitlines()[0] if str(error.exc) else type(error.exc).__name__

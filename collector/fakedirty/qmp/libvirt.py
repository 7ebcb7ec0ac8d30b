"""A QEMU that libvirt keeps: asked through libvirt, which holds its only monitor.

Which libvirt is meant is for ``LIBVIRT_DEFAULT_URI`` and ``libvirt.conf`` to say, as for every client of it. Its calls
know no time limit, so they are made in a thread that can be left behind.
"""

from __future__ import annotations

import ipaddress
import json
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from fakedirty.errors import QmpError
from fakedirty.linux.process import Process

from . import peer
from .address import Domain
from .client import QmpClosedError, QmpRefusedError
from .validation import understanding

T = TypeVar("T")


class DomainMonitor:
    """The monitor of a domain. Made by :meth:`connect`, ended by :meth:`close` or by ``with``."""

    def __init__(self, domain: Domain, worker: _Worker, answer_timeout: float) -> None:
        self.path = domain
        self._worker = worker
        self._answer_timeout = answer_timeout
        self._connection: Any = None
        self._domain: Any = None
        self._ask: Callable[[Any, str, int], str]

    @classmethod
    def connect(cls, domain: Domain, process: Process, timeout: float = 1.5, answer_timeout: float = 30.0) -> Self:
        """Connect to libvirt within `timeout` seconds.

        Raises PeerError where its domain is not shown to be that process, QmpError where there is no libvirt, or it
        keeps no such domain.
        """
        try:
            import libvirt
            import libvirt_qemu
        except ImportError as error:
            raise QmpError(
                f"{domain} is asked through libvirt, and its Python module is missing: install python3-libvirt, or "
                "fakedirty with the extra `libvirt`"
            ) from error
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print what it also raises
        monitor = cls(domain, _Worker(libvirt), answer_timeout)
        monitor._ask = libvirt_qemu.qemuMonitorCommand
        try:
            monitor._worker.do(lambda: monitor._open(libvirt), timeout, f"to reach {domain}")
            if doubt := peer.doubt_by_threads(domain, process, monitor.execute):
                raise peer.refusal(domain, process, (doubt, "another libvirt may keep that"))
        except QmpError as error:
            monitor.close()
            kind = peer.PeerError if isinstance(error, peer.PeerError) else QmpError
            raise kind(f"{error}; LIBVIRT_DEFAULT_URI says which libvirt is asked") from error
        except BaseException:
            monitor.close()
            raise
        return monitor

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """What QEMU returns for `command`; names with dashes are given in the mapping."""
        request = json.dumps({"execute": command, "arguments": {**(arguments or {}), **named}})
        said = self._worker.do(lambda: self._ask(self._domain, request, 0), self._answer_timeout, command)
        with understanding(self.path):
            answer = json.loads(said)
            if error := answer.get("error"):
                raise QmpRefusedError(command, error["class"], error["desc"])
            return answer["return"]

    @property
    def closed(self) -> bool:
        """Whether it has been ended."""
        return self._worker.ended

    def close(self) -> None:
        """Leave libvirt. May be called twice."""
        self._worker.end(self._leave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, libvirt: ModuleType) -> None:
        self._connection = libvirt.open(None)
        if host := host_of(uri := str(self._connection.getURI())):
            # source and destination have one UUID, and ids of threads mean nothing there
            raise QmpError(f"{self.path} is not asked for by {uri}, which is a libvirt of another host ({host})")
        self._domain = self._connection.lookupByUUIDString(self.path.uuid)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()


def host_of(uri: str) -> str:
    """The host of the libvirt that a URI names; empty where that is this one."""
    host = urlsplit(uri).hostname or ""
    try:
        here = host in ("", "localhost", socket.gethostname().lower()) or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        here = False
    return "" if here else host


class _Worker:
    """A thread that does one thing after the other, and is waited for no longer than a time."""

    def __init__(self, libvirt: ModuleType) -> None:
        self._error = libvirt.libvirtError
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.ended = False
        threading.Thread(target=self._run, name="libvirt", daemon=True).start()

    def do(self, what: Callable[[], T], timeout: float, name: str) -> T:
        """What it returns; QmpError where libvirt refuses, or takes longer than `timeout` seconds."""
        with self._lock:
            if self.ended:
                raise QmpClosedError(f"the connection to libvirt is closed (while doing {name})")
            future: Future[T] = Future()
            self._work.put(lambda: _fulfil(future, what))
        try:
            return future.result(timeout)
        except TimeoutError:
            raise QmpError(f"libvirt did not answer {name} within {timeout:g} s: is libvirtd stopped?") from None
        except self._error as error:
            raise QmpError(f"libvirt refused {name}: {error}") from error

    def end(self, last: Callable[[], None]) -> None:
        """End the thread once it has done `last`; it is not waited for."""
        with self._lock:
            if self.ended:
                return
            self.ended = True
            self._work.put(lambda: _fulfil(Future(), last))
            self._work.put(None)

    def _run(self) -> None:
        while work := self._work.get():
            work()


def _fulfil(future: Future[T], what: Callable[[], T]) -> None:
    try:
        future.set_result(what())
    except Exception as error:  # noqa: BLE001 - raised where it is waited for
        future.set_exception(error)
